"""The control plane is killed under load, or hangs: nothing fails; when it is back, what was missed is made up for."""

from __future__ import annotations

import time
from typing import Any

from tests.acceptance.figure import ByTime, Figure, Outcome
from tests.acceptance.mesh import ADMIN, NAMESPACE, SYSTEM, Mesh
from tests.acceptance.words import under_load
from tests.acceptance.workspace import SAMPLE_APP

REQUESTS = 10_000
SEEN_WITHIN = 2.0
APP = "tulle-control-plane"
CANARY = SAMPLE_APP / "canary"
WAITING = "waiting for the control plane"
"""In what a proxy that is not ready says of itself."""


def restarts(pod: dict[str, Any]) -> int:
    """Of all its containers."""
    return sum(item["restartCount"] for item in pod["status"].get("containerStatuses", []))


def kill(mesh: Mesh, app: str, namespace: str) -> int:
    """SIGKILL to the program of a pod; how often it had been restarted before."""
    pod = mesh.pod(app, namespace)
    before = restarts(pod)
    _signal(mesh, "KILL", app, namespace)
    mesh.until(lambda: restarts(mesh.pod(app, namespace)) > before or _is_down(mesh, app, namespace),
               f"{app} to be killed")
    return before


def _signal(mesh: Mesh, name: str, app: str = APP, namespace: str = SYSTEM) -> None:
    """To the program of a pod, which is process 2 of its container."""
    pod = mesh.pod(app, namespace)["metadata"]["name"]
    mesh.tulle("lab", *mesh.lab.exec_words(pod, "sh", "-c", f"kill -{name} 2", namespace=namespace))


def _is_down(mesh: Mesh, app: str, namespace: str) -> bool | None:
    states = mesh.pod(app, namespace)["status"].get("containerStatuses", [])
    return any("running" not in item["state"] for item in states) or None


def ready_again(mesh: Mesh) -> float:
    """Wait for its health port to say that the catalog has synced; the Unix time at which it did."""
    address = mesh.pod(APP, SYSTEM)["status"]["podIP"]

    def look() -> float | None:
        mesh.lab.exec("node", "curl", "-sS", "-o", "/dev/null", "--fail", "--max-time", "1",
                      f"http://{address}:8087/ready")
        return time.time()

    return mesh.until(look, "the control plane to be ready again", 60)


def _killed(mesh: Mesh) -> Outcome:
    mesh.up()
    load = mesh.load(at_least=REQUESTS)
    kill(mesh, APP, SYSTEM)
    mesh.lab.run("apply", "-f", str(CANARY))  # while nobody is there to hear of it
    ready = ready_again(mesh)
    mesh.until(lambda: _serves(mesh, "app-b2"), "the route to be in force", 30)
    report = load.enough()
    first = min((at for who, at in report["first_seen"].items() if who.startswith("v2 ")), default=None)
    mesh.lab.run("delete", "-f", str(CANARY))
    seconds = max(0.0, first - ready) if first is not None else None
    if seconds is None:
        return under_load(report, "the change was never seen", (False, "never seen"))
    text = f"change seen {seconds:.1f} s after it was back"
    return under_load(report, text, (seconds <= SEEN_WITHIN, ByTime(f"more than {SEEN_WITHIN:g} s")))


def _serves(mesh: Mesh, app: str) -> bool | None:
    """Whether the client's proxy has sent requests to that backend."""
    return _sent(mesh, app) > 0 or None


def _sent(mesh: Mesh, app: str) -> float:
    """Requests from the client's proxy to that backend."""
    samples = mesh.metrics(mesh.pod("client"))
    return samples.total("tulle_http_requests_total", direction="outbound", backend=f"{NAMESPACE}/{app}:80")


def _changed_afterwards(mesh: Mesh) -> Outcome:
    """A change that comes after the restart: from the command that makes it to the first request that shows it."""
    mesh.up()
    kill(mesh, APP, SYSTEM)
    ready_again(mesh)
    load = mesh.load(at_least=500)
    before = _v2(mesh)
    asked = time.time()
    mesh.lab.run("apply", "-f", str(CANARY))
    mesh.until(lambda: _v2(mesh) > before or None, "the route to be in force", 30)
    report = load.enough()
    mesh.lab.run("delete", "-f", str(CANARY))
    first = min((at for who, at in report["first_seen"].items() if who.startswith("v2 ")), default=float("inf"))
    return under_load(
        report, f"seen {first - asked:.2f} s after `apply` was typed",
        (first - asked <= SEEN_WITHIN, ByTime(f"more than {SEEN_WITHIN:g} s")),
    )


def _hangs(mesh: Mesh) -> Outcome:
    """SIGSTOP: its connections stay open and say nothing, which is harder to notice than its end."""
    mesh.up()
    load = mesh.load(at_least=3000)
    before = {pod["metadata"]["name"] for pod in mesh.pods("app-b")}
    usual = _sent(mesh, "app-b2")
    _signal(mesh, "STOP")
    try:
        mesh.lab.run("apply", "-f", str(CANARY))
        mesh.lab.run("scale", "deploy/app-b", f"--replicas={len(before) + 1}", "-n", NAMESPACE)
        mesh.until(lambda: WAITING in _readiness(mesh, before) or None, "the new replica to wait for the control plane")
        early = _sent(mesh, "app-b2")
    finally:
        _signal(mesh, "CONT")
        back = time.time()
    mesh.until(lambda: _sent(mesh, "app-b2") > early or None, "the route to be in force", 30)
    mesh.lab.run("rollout", "status", "deploy/app-b", "-n", NAMESPACE, "--timeout", "60s")
    report = load.enough()
    mesh.lab.run("delete", "-f", str(CANARY))
    mesh.lab.run("scale", "deploy/app-b", f"--replicas={len(before)}", "-n", NAMESPACE)
    first = min((at for who, at in report["first_seen"].items() if who.startswith("v2 ")), default=float("inf"))
    return under_load(
        report, f"a new replica waited, and was ready afterwards; change seen {max(0.0, first - back):.1f} s after",
        (early == usual, "the change was in force before"),
        (first - back <= SEEN_WITHIN, ByTime(f"more than {SEEN_WITHIN:g} s")),
    )


def _readiness(mesh: Mesh, before: set[str]) -> str:
    """What the proxy of the pod that was not there before says of itself."""
    [pod] = [pod for pod in mesh.pods("app-b") if pod["metadata"]["name"] not in before]
    return mesh.lab.exec("node", "curl", "-sS", "--max-time", "5", f"http://{pod['status']['podIP']}:{ADMIN}/ready")


def _v2(mesh: Mesh) -> float:
    samples = mesh.metrics(mesh.pod("app-b2"))
    return samples.total("tulle_http_requests_total", direction="inbound")


FIGURES = (
    Figure("control-plane-killed", "0 failed of 10,000; a change made meanwhile is seen within 2 s of its return",
           _killed),
    Figure("control-plane-hangs", "0 failed of 3,000; a replica that starts meanwhile waits; seen within 2 s", _hangs),
    Figure("change-after-restart", "0 failed; seen within 2 s", _changed_afterwards),
)
