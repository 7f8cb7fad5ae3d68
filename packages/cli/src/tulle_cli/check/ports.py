"""Is any of Tulle's ports taken in this network namespace, and by whom?

A warning only: the lab and a cluster's pods have network namespaces of their own, so a port taken here is in the
way of programs that are started by hand.
"""

from __future__ import annotations

from tulle_plugin_api import CheckResult

from tulle_cli.check.machine import Listener, listeners
from tulle_cli.check.model import Section, check, passed, warned

CATEGORY = "ports"

# ARCHITECTURE.md
PORTS = {
    4140: "proxy, outbound",
    4143: "proxy, inbound",
    4191: "proxy, admin",
    8085: "control plane, HTTP API",
    8086: "control plane, gRPC",
    8087: "control plane, health",
    8443: "admission controller, HTTPS",
    8444: "admission controller, health",
}


def section() -> Section:
    """The check of this module."""
    return Section(CATEGORY, [check(CATEGORY, "Tulle's ports are free, or Tulle's", _free)])


def _free() -> CheckResult:
    return judge(listeners(frozenset(PORTS)))


def judge(found: list[Listener]) -> CheckResult:
    """A warning naming each port, what it is for, and who holds it; Tulle's own programs may."""
    strangers = [item for item in found if not item.process.startswith("tulle-")]
    if not strangers:
        return passed(", ".join(f"{item.port} {item.process}" for item in found))
    return warned(
        "\n".join(
            f"{item.port} ({PORTS[item.port]}) is held by {item.process or 'a process of another user'}"
            for item in strangers
        ),
        "the lab has a network of its own and is not concerned; stop these programs\n"
        "before you start a proxy or control plane by hand, or give those other ports",
    )
