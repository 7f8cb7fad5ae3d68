"""retry keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "retry"
    configs = ({}, {"attempts": 3})
    refused = ({"attempts": 0},)
