"""Pods come and go under load: scaled up and down, replaced one by one. Nobody's request fails."""

from __future__ import annotations

from tests.acceptance.figure import Figure, Outcome
from tests.acceptance.mesh import NAMESPACE, Mesh
from tests.acceptance.words import pods_of, under_load

REQUESTS = 10_000
APP = "deploy/app-b"
USUAL = 3


def scale(mesh: Mesh, replicas: int) -> None:
    """Scale app-b and wait until it is so."""
    mesh.lab.run("scale", APP, f"--replicas={replicas}", "-n", NAMESPACE)
    mesh.lab.run("rollout", "status", APP, "-n", NAMESPACE, "--timeout", "60s")


def _names(mesh: Mesh) -> set[str]:
    return {pod["metadata"]["name"] for pod in mesh.pods("app-b")}


def _gone(mesh: Mesh, replicas: int) -> None:
    """Wait until no pod of app-b is on its way out any more."""
    def look() -> bool | None:
        pods = [pod for pod in mesh.lab.items("pods", NAMESPACE) if pod["metadata"]["labels"].get("app") == "app-b"]
        return len(pods) == replicas or None

    mesh.until(look, "terminating pods of app-b to be gone", 60)


def _scale(mesh: Mesh) -> Outcome:
    mesh.up()
    scale(mesh, 2)
    _gone(mesh, 2)
    load = mesh.load(at_least=REQUESTS)
    scale(mesh, 5)
    grown = _names(mesh)
    mesh.until(lambda: _all_called(mesh, grown), "each of 5 pods to be called")
    scale(mesh, 1)
    _gone(mesh, 1)
    report = load.enough()
    scale(mesh, USUAL)
    served = pods_of(report["served"])
    return under_load(
        report, f"{len(served)} pods served while app-b went 2 -> 5 -> 1",
        (grown <= served.keys(), f"{len(grown - served.keys())} of the 5 pods were never called"),
    )


def _all_called(mesh: Mesh, names: set[str]) -> bool | None:
    """By what the pods' own proxies have counted."""
    pods = [pod for pod in mesh.pods("app-b") if pod["metadata"]["name"] in names]
    counts = [mesh.metrics(pod).total("tulle_http_requests_total", direction="inbound") for pod in pods]
    return (len(counts) == len(names) and min(counts) > 20) or None


def _rollout(mesh: Mesh) -> Outcome:
    mesh.up()
    before = _names(mesh)
    load = mesh.load(at_least=REQUESTS)
    mesh.lab.run("rollout", "restart", APP, "-n", NAMESPACE)
    mesh.lab.run("rollout", "status", APP, "-n", NAMESPACE, "--timeout", "90s")
    _gone(mesh, USUAL)
    after = _names(mesh)
    report = load.enough()
    served = pods_of(report["served"])
    return under_load(
        report, f"{len(after - before)} of {len(before)} pods replaced",
        (not before & after, f"{len(before & after)} pods were not replaced"),
        (after <= served.keys(), f"{len(after - served.keys())} of the new pods were never called"),
    )


FIGURES = (
    Figure("scale-under-load", "0 failed of 10,000 while app-b goes 2 -> 5 -> 1", _scale),
    Figure("rollout-under-load", "0 failed of 10,000 while every pod of app-b is replaced", _rollout),
)
