"""sqlite keeps the contract of exporters, also where there is nowhere to write."""

from tulle_plugin_api.contract import ExporterContract


class TestContract(ExporterContract):
    plugin = "sqlite"
    options = ({"path": "/nowhere/at/all.sqlite", "queue": "1000"}, {"path": "/dev/null/x", "rows": "5", "queue": "10"})
    refused = ({"rows": "many"}, {"interval": "0"}, {"queue": "0"})
