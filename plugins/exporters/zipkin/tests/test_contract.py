"""zipkin keeps the contract of exporters."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "zipkin"
    options = ({"url": "http://127.0.0.1:1/api/v2/spans"},)
    refused = ({"url": "nowhere"},)
