"""influx keeps the contract of exporters."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "influx"
    options = ({"url": "http://127.0.0.1:1"},)
    refused = ({"url": "nowhere"},)
