"""A quota that three proxies share: exact to a slice while the control plane leases it, bounded while that is away."""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from typing import Any

from tests.acceptance.figure import ByTime, Figure, Outcome, judged
from tests.acceptance.figures.control_plane import APP, kill, ready_again
from tests.acceptance.mesh import NAMESPACE, SYSTEM, Mesh

QUOTA, SLICE, BURST, PROXIES = 100, 10, 10, 3
TIMES, SECONDS, WARM = 3, 10.0, 4.0
POLICY = "app-b-shared"
CONTROL_PLANE = f"deploy/{APP}"


def _policy() -> str:
    return json.dumps({
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": POLICY, "namespace": NAMESPACE},
        "spec": {
            "targetRef": {"kind": "Service", "name": "app-b"},
            "type": "shared-quota",
            "config": {"requests": QUOTA, "per": "1s", "burst": BURST, "slice": SLICE},
        },
    })  # fmt: skip


def _leases(mesh: Mesh) -> list[dict[str, Any]]:
    """Each of app-b's proxies' lease, by its own account; [] until all of them have one."""
    found = [json.loads(mesh.admin(pod, "/config"))["quotas"] for pod in mesh.pods("app-b")]
    leases = [lease for quotas in found for name, lease in quotas.items() if POLICY in name]
    return leases if len(leases) == PROXIES else []


def _all(mesh: Mesh, **state: Any) -> bool | None:
    leases = _leases(mesh)
    return (bool(leases) and all(state.items() <= lease.items() for lease in leases)) or None


def _between(report: Any, start: float, seconds: float = SECONDS) -> int:
    times = report["admitted"]
    return bisect_left(times, start + seconds) - bisect_left(times, start)


def _measure(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply_text(_policy())
    load = None
    try:
        mesh.until(lambda: _all(mesh, sharers=PROXIES, alone=False), "three proxies to share the quota")
        load = mesh.background("quota", "http://app-b/", "--rate", str(QUOTA * TIMES), "--most-seconds", "140")
        time.sleep(WARM)
        leased = time.time()
        time.sleep(SECONDS)
        killed = time.time()
        kill(mesh, APP, SYSTEM)
        mesh.lab.run("scale", CONTROL_PLANE, "--replicas=0", "-n", SYSTEM)  # and nobody starts it again
        mesh.until(lambda: _all(mesh, alone=True), "the proxies to be on their own")
        away = time.time()
        time.sleep(SECONDS)
        still_away = _all(mesh, alone=True)
        back = time.time()
        mesh.lab.run("scale", CONTROL_PLANE, "--replicas=1", "-n", SYSTEM)
        ready_again(mesh)
        mesh.until(lambda: _all(mesh, sharers=PROXIES, alone=False), "the proxies to lease again", 60)
        time.sleep(WARM)
        again = time.time()
        time.sleep(SECONDS)
        report = load.enough()
    finally:
        if load is not None:
            load.abandon()
        mesh.lab.run("delete", "meshpolicy", POLICY, "-n", NAMESPACE)
    bar = QUOTA * SECONDS
    counts = {name: _between(report, at) for name, at in (("leased", leased), ("away", away), ("again", again))}
    crossing = _between(report, killed, back - killed)
    most = QUOTA * (back - killed) + BURST + 2 * SLICE * PROXIES
    asked = len(report["admitted"]) + report["refused"]
    return judged(
        f"{counts['leased']} admitted in {SECONDS:g} s leased, {counts['away']} with the control plane killed, "
        f"{counts['again']} with it back; {crossing} in the {back - killed:.1f} s of its absence; {asked} asked",
        (not report["failed"], f"failed otherwise: {report['failed']}"),
        (report["refused"] > asked / 2, ByTime("the load was not enough to tell")),
        (abs(counts["leased"] - bar) <= SLICE, f"not within a slice of {bar:g}"),
        (abs(counts["again"] - bar) <= SLICE, f"not within a slice of {bar:g} again"),
        (still_away is True, "somebody leased while the control plane was away"),
        (counts["away"] <= bar + SLICE, f"more than {bar:g} and a slice without it"),
        (crossing <= most, f"more than {most:g} while it went"),
    )


FIGURES = (
    Figure(
        "shared-quota",
        f"3 proxies, {QUOTA}/s in all, {TIMES}x the load, 10 s: within a slice ({SLICE}) of {QUOTA * SECONDS:g}; "
        "control plane killed: no more than that",
        _measure,
    ),
)
