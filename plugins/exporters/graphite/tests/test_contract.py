"""graphite keeps the contract of exporters."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "graphite"
    options = ({"address": "127.0.0.1:1"},)
    refused = ({"address": "nowhere"},)
