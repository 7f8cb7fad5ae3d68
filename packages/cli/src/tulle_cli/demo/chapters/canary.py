"""A canary: one standard object moves a tenth of the calls to the next version."""

from __future__ import annotations

from tulle_cli.demo.scene import NAMESPACE, Scene
from tulle_cli.demo.traffic import bars

WEIGHT = 10
"""Percent, as deploy/sample-app/canary/httproute.yaml has it."""
CALLS = 600
POINTS = 5.0
"""How far from its weight the canary may be, in percentage points: four standard deviations of a fair die."""


def tell(scene: Scene) -> None:
    """Apply the route; claim that v2 gets its weight, and no failure on the way."""
    stage = scene.stage
    stage.chapter("A canary")
    before = scene.tally()
    route = scene.manifests / "canary"
    stage.command(f"tulle lab apply -f {route}    # HTTPRoute: app-b weight {100 - WEIGHT}, app-b2 weight {WEIGHT}")
    scene.lab.run("apply", "-f", str(route))
    stage.until(
        lambda: "v2" in (scene.tally() - before).shares("version") or None, "the first call to reach v2",
        hint="tulle proxy config app-a -n demo",
    )
    shares = scene.measure(CALLS).shares("version")
    stage.show(bars(shares, block=stage.signs.block))
    stage.claim(
        abs(shares.get("v2", 0.0) * 100 - WEIGHT) <= POINTS,
        f"v2 takes its {WEIGHT}%, within {POINTS:g} points of {CALLS} calls",
        f"it takes {shares.get('v2', 0.0):.1%}",
        f"tulle lab get httproutes -n {NAMESPACE} -o yaml",
    )
    scene.no_failures(scene.tally() - before, "while the route changed")
