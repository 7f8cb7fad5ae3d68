"""Clients that nobody wrote for a mesh, through the Service to three replicas over one connection that they keep.

A mesh that balances connections would send all 10,000 to one replica.
"""

from __future__ import annotations

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import APP_B, Mesh
from tests.acceptance.words import failures, no_failures, shares

REQUESTS = 10_000
REPLICAS = 3
POINTS = 2.0


def _client(mesh: Mesh, script: str) -> Outcome:
    mesh.up()
    report = mesh.script(script, APP_B, "--requests", str(REQUESTS))
    found = shares(report["served"])
    fair = 100 / REPLICAS
    words = " ".join(f"{share:.1f}%" for share in found)
    rate = report["requests"] / report["seconds"]
    return judged(
        f"{failures(report)} over {report['connections']} connection; shares {words}; {rate:.0f}/s",
        *no_failures(report),
        (len(found) == REPLICAS, f"{len(found)} replicas served, not {REPLICAS}"),
        (all(abs(share - fair) <= POINTS for share in found), f"shares are not within {POINTS:g} points of a third"),
        (report["connections"] == 1, "it had to open its connection again"),
    )


_BAR = "0 failed of 10,000; each of 3 replicas within 2 points of a third; 1 connection"
FIGURES = (
    Figure("requests-session", _BAR, lambda mesh: _client(mesh, "session")),
    Figure("curl", _BAR, lambda mesh: _client(mesh, "curls")),
)
