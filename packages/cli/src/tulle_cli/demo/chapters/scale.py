"""More replicas: they take their share as soon as they are ready, though app-a keeps its connections."""

from __future__ import annotations

from tulle_cli.demo.scene import NAMESPACE, Scene, is_ready
from tulle_cli.demo.traffic import bars, even

REPLICAS = 5
CALLS = 400
POINTS = 3.0
"""How far from an equal share a pod may be, in percentage points."""


def tell(scene: Scene) -> None:
    """Scale app-b from 3 to 5; claim equal shares, and no failure on the way."""
    stage = scene.stage
    stage.chapter("More replicas")
    before = scene.tally()
    command = ("scale", "deploy/app-b", f"--replicas={REPLICAS}", "-n", NAMESPACE)
    stage.command(f"tulle lab {' '.join(command)}")
    scene.lab.run(*command)
    stage.until(lambda: _ready(scene), f"{REPLICAS} pods of app-b to be ready", hint="tulle lab get pods -n demo")
    names = {pod["metadata"]["name"] for pod in scene.pods("app-b")}
    stage.until(lambda: names <= scene.tally().shares("pod").keys() or None, "every new pod to be called")
    shares = scene.measure(CALLS).shares("pod")
    stage.show(bars(shares, block=stage.signs.block))
    stage.say(
        """app-a opened its connections long before the new pods existed. Its proxy balances requests, not
        connections, and heard of the new endpoints over one gRPC stream."""
    )
    stage.claim(
        even(shares, REPLICAS, POINTS),
        f"each of {REPLICAS} pods takes a fifth of the calls, within {POINTS:g} points",
        f"the shares are {', '.join(f'{share:.1%}' for share in shares.values())}",
        "tulle proxy config app-a -n demo",
    )
    scene.no_failures(scene.tally() - before, "while app-b grew")


def _ready(scene: Scene) -> bool | None:
    pods = scene.pods("app-b")
    return (len(pods) == REPLICAS and all(map(is_ready, pods))) or None
