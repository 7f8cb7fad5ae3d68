"""ring-hash keeps the contract of balancers."""

from tulle_plugin_api.contract import BalancerContract


class TestContract(BalancerContract):
    plugin = "ring-hash"
    configs = ({"header": "x-user"}, {"cookie": "session", "bound": None}, {"source": True, "bound": 2, "points": 8})
    refused = (
        {},
        {"source": False},
        {"header": "x-user", "source": True},
        {"header": "x user"},
        {"source": True, "bound": 1},
        {"source": True, "bound": 0.5},
        {"source": True, "points": 0},
        {"source": True, "points": 100_000},
        {"source": "yes"},
    )
