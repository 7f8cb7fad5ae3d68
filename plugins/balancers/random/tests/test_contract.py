"""random keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "random"
    refused = ({"seed": 1},)
