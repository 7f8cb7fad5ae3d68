"""timeout keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "timeout"
    configs = ({"request": "2s"}, {"request": "0s"}, {"request": "1h"}, {"request": "2s", "per_try": "500ms"})
    refused = ({}, {"request": 2}, {"request": "2 s"})
