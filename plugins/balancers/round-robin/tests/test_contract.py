"""round-robin keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "round-robin"
    refused = ({"seed": 1},)
