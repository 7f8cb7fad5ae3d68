"""fault keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "fault"
    configs = ({"delay": {"percent": 50, "time": "2s"}, "abort": {"percent": 10, "status": 503}},)
    refused = ({"abort": {"percent": 101, "status": 503}}, {"unknown": 1})
