"""cors keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "cors"
    configs = ({"allow_origins": ["https://a.example"]},)
    refused = ({"unknown": 1},)
