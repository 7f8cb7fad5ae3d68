"""least-request keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "least-request"
    refused = ({"choices": 3},)
