"""Who calls whom: the live tables, from what the proxies report each second."""

from __future__ import annotations

from typing import Any

from tulle_cli.command import edges, stat
from tulle_cli.demo.scene import NAMESPACE, Scene
from tulle_cli.figures import select

WINDOW = 5
"""Seconds that the tables look back; the story waits until all of them lie after the start."""
REPORTED = 2
"""Seconds until what happened is surely reported and counted."""


def tell(scene: Scene) -> None:
    """Show edges and stat; claim that the edge app-a to app-b is there and nothing failed on it."""
    stage = scene.stage
    stage.chapter("Who calls whom")
    stage.say("The proxies report to the control plane each second; no other system is needed to ask:")
    stage.until(lambda: stage.now() - scene.begun > WINDOW + REPORTED or None, "the window to be full")
    rows = stage.until(lambda: _seen(scene), "figures of app-a's calls to app-b", hint="tulle edges -A")
    edge = busy_edge(rows)
    assert edge is not None
    stage.command(f"tulle edges -n {NAMESPACE} --window {WINDOW}s")
    stage.show(edges.table(rows))
    stage.command(f"tulle stat deploy -n {NAMESPACE} --window {WINDOW}s")
    stage.show(stat.table(select(_rows(scene, "stat"), "deployment", None), qualified=False))
    if not any(row["secured"] for row in rows):
        stage.say("SECURED is about mutual TLS, which these proxies do not do yet.")
    stage.claim(
        edge["success"] == 1.0,
        f"deployment/app-a calls deployment/app-b {edge['rps']:.0f} times a second, and every call succeeds",
        f"its success rate is {edge['success']}",
        "tulle edges -A",
    )


def _seen(scene: Scene) -> list[dict[str, Any]] | None:
    rows = [row for row in _rows(scene, "edges") if row["requests"]]
    return rows if busy_edge(rows) else None


def _rows(scene: Scene, what: str) -> list[dict[str, Any]]:
    query = {"namespace": NAMESPACE, "window": f"{WINDOW}s"}
    rows: list[dict[str, Any]] = scene.api.get(f"/api/v1/{what}", query)["rows"]
    return rows


def busy_edge(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The edge from app-a to app-b, once requests are seen on it."""
    wanted = ("deployment/app-a", "deployment/app-b")
    return next((row for row in rows if (row["src"], row["dst"]) == wanted and row["requests"]), None)
