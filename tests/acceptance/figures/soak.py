"""Everything at once, for longer: a hundred thousand requests while pods and the control plane come and go."""

from __future__ import annotations

from tests.acceptance.figure import Figure, Outcome
from tests.acceptance.figures.change import APP, USUAL, scale
from tests.acceptance.figures.control_plane import kill, ready_again
from tests.acceptance.mesh import NAMESPACE, SYSTEM, Mesh
from tests.acceptance.words import megabytes, under_load

REQUESTS = 100_000
ROUNDS = 6
FLAT = 2_000_000


def _soak(mesh: Mesh) -> Outcome:
    mesh.up()
    load = mesh.load(at_least=REQUESTS, rate=600, most_seconds=900)
    client = mesh.pod("client")["metadata"]["name"]
    sizes = []
    for _ in range(ROUNDS):
        scale(mesh, 5)
        scale(mesh, 1)
        scale(mesh, USUAL)
        mesh.lab.run("rollout", "restart", APP, "-n", NAMESPACE)
        mesh.lab.run("rollout", "status", APP, "-n", NAMESPACE, "--timeout", "90s")
        kill(mesh, "tulle-control-plane", SYSTEM)
        ready_again(mesh)
        sizes.append(mesh.proxies()[client]["resident_bytes"])
    report = load.enough(seconds=900)
    grown = mesh.proxies()[client]["resident_bytes"] - sizes[0]
    return under_load(
        report, f"{ROUNDS} rounds of 5, 1, {USUAL} replicas, rollout, kill; the client's proxy +{megabytes(grown)}",
        (grown <= FLAT, f"it grew by more than {megabytes(FLAT)} after the first round"),
    )


FIGURES = (Figure("soak", "0 failed of 100,000; memory flat after the first round: at most +2 MB", _soak, full=True),)
