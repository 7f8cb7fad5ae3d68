"""What each policy and each exporter costs a request: the same proxy with and without it. `scripts/bench costs`.

Owns which lines are measured, and what each is compared with; asked.py has the configurations, and layers.py puts the
parts together. "None" is the whole way of a request without policies and exporters, with the telemetry that every
proxy keeps.
"""

from __future__ import annotations

from tulle_plugin_api import Plugins

from bench.profile.asked import ASKED, INBOUND
from bench.profile.layers import Layers
from bench.subjects.manifests import POLICIES

DEFAULT_EXPORTERS = ("prometheus", "access-log")
NONE, NONE_INBOUND = "none", "none (a request that comes in)"
DEFAULT = "all of the default ones: " + ", ".join(DEFAULT_EXPORTERS)
USUAL = "these, timeout and retry"


def lines(plugins: Plugins) -> list[tuple[str, Layers]]:
    """Names and layers; NONE and NONE_INBOUND are what the others are compared with."""
    base = Layers(stack=True, dial=True, telemetry=True)
    inbound = Layers(stack=True, dial=True, telemetry=True, inbound=True)
    policies = [name for name in ASKED if name in plugins.policies]
    made = [
        (NONE, base),
        (NONE_INBOUND, inbound),
        *((f"policy {name}", Layers(True, True, (name,), True, inbound=name in INBOUND)) for name in policies),
        *((f"exporter {name}", Layers(True, True, (), True, (name,))) for name in sorted(plugins.exporters)),
    ]
    made.append((DEFAULT, Layers(True, True, (), True, DEFAULT_EXPORTERS)))
    made.append((USUAL, Layers(True, True, tuple(POLICIES), True, DEFAULT_EXPORTERS)))
    return made


def base_of(name: str) -> str:
    """The line that this one is compared with."""
    return NONE_INBOUND if name.removeprefix("policy ") in INBOUND else NONE
