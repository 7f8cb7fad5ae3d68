"""rate-limit keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "rate-limit"
    configs = ({"requests": 100, "per": "1s"}, {"requests": 10, "per": "1s", "by": "client"})
    refused = ({"requests": 0, "per": "1s"},)
