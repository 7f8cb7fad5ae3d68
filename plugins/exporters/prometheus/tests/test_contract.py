"""prometheus keeps the contract of exporters."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "prometheus"
    options = ({}, {"max_series": "50"})
    refused = ({"max_series": "many"},)
