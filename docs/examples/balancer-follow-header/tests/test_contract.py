"""follow-header keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "follow-header"
    configs = ({}, {"header": "x-lane", "label": "lane", "default": "stable", "missing": "anywhere"})
    refused = ({"header": "x version"}, {"label": 2}, {"missing": "nowhere"})
