"""compression keeps the contract of policies."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "compression"
    configs = ({}, {"types": ["text/*"], "minimum": 0, "level": 9, "at_once": 2})
    refused = (
        {"level": 0},
        {"level": 10},
        {"types": ["html"]},
        {"types": ["*/*"]},
        {"types": ["text/event-stream"]},
        {"minimum": -1},
    )
