"""sticky keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "sticky"
    configs = ({}, {"header": "x-session"})
    refused = ({"header": 2}, {"haeder": "x-user"})
