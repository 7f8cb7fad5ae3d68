"""otlp keeps the contract of exporters."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "otlp"
    options = ({}, {"signals": "metrics,logs,traces"})
    refused = ({"signals": "weather"},)
