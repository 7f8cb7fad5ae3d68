"""shared-quota keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "shared-quota"
    configs = (
        {"requests": 300, "per": "1s", "side": "client"},
        {"requests": 20, "per": "1m", "burst": 5, "slice": 2, "side": "client"},
        {"requests": 20},
    )
    refused = ({"requests": 0}, {"requests": 5, "slice": 6}, {"requests": 5, "per": "0s"})
