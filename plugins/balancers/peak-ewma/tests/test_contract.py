"""peak-ewma keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "peak-ewma"
    configs = ({}, {"decay": "1s", "default": "1ms"})
    refused = ({"decay": "0s"}, {"default": "0s"}, {"decay": 10}, {"tau": "1s"})
