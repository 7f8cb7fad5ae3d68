"""The contract as tests: what a host relies on, for authors to run against their plugin. Needs pytest (and trio).

    from tulle_plugin_api.contract import BalancerContract

    class TestContract(BalancerContract):
        plugin = "round-robin"

The plugin must be installed: it is found by its name, through its entry point, as a host finds it. A class attribute
says what only the author knows (`configs`: configurations that it accepts); each suite's docstring lists them.

Owns no knowledge of any plugin. Never imported by `tulle_plugin_api` itself, so that no proxy carries pytest.
"""

from __future__ import annotations

import pytest

# before they are imported, so that a plain `assert` in them says what it saw
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("balancers", "policies", "exporters", "catalogs", "judge", "exposition"))
)

from tulle_plugin_api.contract.balancers import BalancerContract  # noqa: E402
from tulle_plugin_api.contract.catalogs import CatalogContract  # noqa: E402
from tulle_plugin_api.contract.exporters import ExporterContract  # noqa: E402
from tulle_plugin_api.contract.policies import PolicyContract  # noqa: E402
from tulle_plugin_api.contract.stepping import NotOnTheFastPath, SteppingRuntime  # noqa: E402

__all__ = [
    "BalancerContract",
    "CatalogContract",
    "ExporterContract",
    "NotOnTheFastPath",
    "PolicyContract",
    "SteppingRuntime",
]
