"""circuit-breaker keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "circuit-breaker"
    configs = ({"consecutive_failures": 5, "ejection": "30s"}, {"limits": {"connections": 100, "pending": 50}})
    refused = ({"consecutive_failures": -1}, {"unknown": 1})
