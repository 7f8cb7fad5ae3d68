"""deadline keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "deadline"
    bound = 500  # it remembers nobody
    configs = ({}, {"budget": "500ms", "header": "x-latest"})
    refused = ({"budget": "0s"}, {"header": "x deadline"}, {"budget": "soon"})
