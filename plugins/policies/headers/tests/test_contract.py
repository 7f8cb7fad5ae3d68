"""headers keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "headers"
    configs = ({"request": {"set": {"x-a": "1"}}, "response": {"remove": ["server"]}},)
    refused = ({"request": {"set": {"x a": "1"}}},)
