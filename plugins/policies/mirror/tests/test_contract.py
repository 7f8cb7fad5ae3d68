"""mirror keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "mirror"
    configs = ({"service": "app-b2", "port": 80, "percent": 100},)
    refused = ({"service": "app-b2", "port": 80, "percent": 101},)
