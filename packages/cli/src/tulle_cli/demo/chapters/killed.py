"""The control plane is killed: the proxies go on with what they know, and meet it again when it is back."""

from __future__ import annotations

from typing import Any

from tulle_cli.demo.scene import SYSTEM, Scene, is_ready
from tulle_cli.errors import CliError

CALLS = 300
_KILL = ("sh", "-c", "kill -KILL 2")
"""Process 1 of a container is its init, 2 the program."""


def tell(scene: Scene) -> None:
    """SIGKILL; claim that no call failed while it was away, and that all proxies are SYNCED afterwards."""
    stage = scene.stage
    stage.chapter("The control plane is killed")
    pod = _pod(scene)
    restarts = _restarts(pod)
    before = scene.tally()
    kill(scene, pod["metadata"]["name"])
    stage.until(lambda: _gone(scene, restarts), "the control plane to be gone")
    stage.say(
        """Nothing is asked of it on a request's way: each proxy holds the last good configuration, in memory. And a
        new control plane serves nothing before it has read everything, so that no proxy is told of an empty mesh."""
    )
    scene.no_failures(scene.measure(CALLS), "in the moments after it")
    look = f"tulle lab get pods -n {SYSTEM}"
    stage.until(lambda: _back(scene, restarts), "the control plane to be back", hint=look)
    synced = stage.until(lambda: _synced(scene), "every proxy to be SYNCED again", hint="tulle proxy status -A")
    stage.claim(True, f"it was started again, and its {synced} proxies are SYNCED")
    scene.no_failures(scene.tally() - before, "from the kill until now")


def kill(scene: Scene, pod: str) -> None:
    """SIGKILL, no time to say goodbye."""
    words = ("exec", "-n", SYSTEM, pod, "--", *_KILL)
    scene.stage.command(f"tulle lab exec -n {SYSTEM} {pod} -- sh -c '{_KILL[2]}'")
    try:
        scene.lab.run(*words)
    except CliError:
        pass  # the exec ends with its container; `_gone` looks at what became of it


def _restarts(pod: dict[str, Any]) -> int:
    return sum(item.get("restartCount", 0) for item in pod.get("status", {}).get("containerStatuses", []))


def _pod(scene: Scene) -> dict[str, Any]:
    return next(pod for pod in scene.pods(namespace=SYSTEM) if "control-plane" in pod["metadata"]["name"])


def _gone(scene: Scene, restarts: int) -> bool | None:
    pod = _pod(scene)
    return (_restarts(pod) > restarts or not is_ready(pod)) or None


def _back(scene: Scene, restarts: int) -> bool | None:
    pod = _pod(scene)
    return (_restarts(pod) > restarts and is_ready(pod)) or None


def _synced(scene: Scene) -> int | None:
    counts = scene.api.get("/api/v1/proxies")["counts"]
    expected = len(scene.pods())
    return expected if counts.get("SYNCED") == expected and sum(counts.values()) == expected else None
