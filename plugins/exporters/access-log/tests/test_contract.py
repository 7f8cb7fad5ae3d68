"""access-log keeps the contract of exporters."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "access-log"
    options = ({}, {"format": "common"}, {"sample": "0.5"})
    refused = ({"format": "xml"}, {"sample": "2"})
