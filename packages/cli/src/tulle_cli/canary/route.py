"""The HTTPRoute of a canary: begun, at a step, done, and as it was found. Pure: objects in, objects out.

Owns the annotation in which a canary's state is kept. It is the only place: whoever reads the route can go on. What
the rules said before is kept there, too, so that a rollback leaves the object as it was found.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tulle_cli.canary.machine import Progress
from tulle_cli.canary.plan import Plan
from tulle_cli.canary.weights import Move, moved
from tulle_cli.errors import CliError

Object = dict[str, Any]

ANNOTATION = "tulle.dev/canary"
GROUP = "gateway.networking.k8s.io"
RUNNING, DONE = "running", "done"


@dataclass(frozen=True)
class State:
    """All of a canary. `before`: of each rule that was changed, its index and its backendRefs."""

    move: Move
    plan: Plan
    progress: Progress
    before: tuple[tuple[int, list[dict[str, Any]]], ...]
    made: bool = False
    """The route was made by the canary: a rollback deletes it."""
    phase: str = RUNNING

    @property
    def percent(self) -> int:
        """The canary's share now."""
        return self.plan.steps[self.progress.step]

    def at(self, step: int, now: float) -> State:
        """The same at another step, whose weights are written `now`."""
        return replace(self, progress=Progress(step, now))


def read(route: Mapping[str, Any]) -> State | None:
    """The canary that the route carries, if any. Raises CliError when its annotation makes no sense."""
    text = (route["metadata"].get("annotations") or {}).get(ANNOTATION)
    if text is None:
        return None
    try:
        data = json.loads(text)
        return State(
            Move(**data["move"]),
            Plan.from_json(data["plan"]),
            Progress(**data["progress"]),
            tuple((int(index), refs) for index, refs in data["before"]),
            bool(data["made"]),
            str(data["phase"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(
            f"the annotation {ANNOTATION} of HTTPRoute {_name(route)} cannot be read",
            f"{type(error).__name__}: {error}; it was not written by this command, or by another version of it",
            "take the annotation off, and set the weights by hand",
        ) from None


def written(route: Mapping[str, Any], state: State) -> Object:
    """The route with the weights of the state's step, and the state in its annotation."""
    new = copy.deepcopy(dict(route))
    for index, refs in state.before:
        new["spec"]["rules"][index]["backendRefs"] = moved(refs, state.move, state.percent)
    data = {
        "move": asdict(state.move), "plan": state.plan.to_json(), "progress": asdict(state.progress),
        "before": [list(pair) for pair in state.before], "made": state.made, "phase": state.phase,
    }  # fmt: skip
    new["metadata"]["annotations"] = {**(new["metadata"].get("annotations") or {}), ANNOTATION: json.dumps(data)}
    return new


def restored(route: Mapping[str, Any], state: State) -> Object | None:
    """The route as it was found; None: it is to be deleted."""
    if state.made:
        return None
    new = copy.deepcopy(dict(route))
    for index, refs in state.before:
        new["spec"]["rules"][index]["backendRefs"] = refs
    annotations = {k: v for k, v in (new["metadata"].get("annotations") or {}).items() if k != ANNOTATION}
    new["metadata"].pop("annotations", None)
    if annotations:
        new["metadata"]["annotations"] = annotations
    return new


def is_untouched(route: Mapping[str, Any], state: State) -> bool:
    """Whether the weights are those that the state's step has: nobody else has changed them."""
    rules = route["spec"].get("rules") or []
    return all(
        index < len(rules) and rules[index].get("backendRefs") == moved(refs, state.move, state.percent)
        for index, refs in state.before
    )


def attached(routes: Sequence[Object], namespace: str, service: str, port: int) -> list[Object]:
    """Those of `routes` that hold for the Service's port (GAMMA: parentRefs that name it)."""
    return [route for route in routes if any(
        parent.get("kind") == "Service" and not parent.get("group") and parent.get("name") == service
        and parent.get("namespace", route["metadata"]["namespace"]) == namespace
        and parent.get("port") in (None, port)
        for parent in route["spec"].get("parentRefs") or []
    )]  # fmt: skip


def begun(route: Mapping[str, Any], move: Move, plan: Plan, now: float, *, made: bool) -> Object:
    """The route at the first step. Raises CliError when no rule sends to the Service, and weights.TooFine."""
    before = []
    for index, rule in enumerate(route["spec"].get("rules") or []):
        refs = rule.get("backendRefs")
        if moved(refs, move, plan.steps[0]) is not None:
            before.append((index, copy.deepcopy(refs)))
    if not before:
        raise CliError(
            f"no rule of HTTPRoute {_name(route)} sends requests to {move.service}:{move.port}",
            "a canary divides what the Service gets, and it gets nothing (no backendRef of it, or weight 0)",
            f"give {move.service} a backendRef with a weight above 0, or name another route: --route",
        )
    return written(route, State(move, plan, Progress(0, now), tuple(before), made))


def fresh(move: Move) -> Object:
    """A route that sends all to the Service, for one that has none."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"{move.service}-canary", "namespace": move.namespace},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": move.service, "port": move.port}],
            "rules": [{"backendRefs": [
                {"group": "", "kind": "Service", "name": move.service, "port": move.port, "weight": 1}
            ]}],
        },
    }  # fmt: skip


def _name(route: Mapping[str, Any]) -> str:
    return f"{route['metadata'].get('namespace', '')}/{route['metadata']['name']}"
