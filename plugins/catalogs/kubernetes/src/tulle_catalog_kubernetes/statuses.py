"""What is to be written into an object's status, if anything. Pure: what is wanted, what is there and the time, in.

Owns the rules of two shapes. A route's `status.parents` is one list that all controllers share (Gateway API, "Route
status"; to server-side apply it is atomic): the others' entries are kept as they are, ours are those with our
controllerName. A MeshPolicy's `status.conditions` is ours, but for types that we never write. A condition's
lastTransitionTime changes with its `status`, and with nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]

CONTROLLER = "tulle.dev/control-plane"
OURS = ("Accepted", "ResolvedRefs", "PartiallyInvalid")
"""The types of conditions that we write."""
MOST_PARENTS = 32
MOST_MESSAGE = 32_768


def due(wanted: Json, there: Json, now: str) -> dict[str, Any] | None:
    """The status to apply, or None where what is there says it already. `now` is RFC 3339."""
    if "parents" in wanted:
        return _parents(wanted["parents"], there.get("parents") or (), now)
    conditions = there.get("conditions") or ()
    made = _conditions(wanted["conditions"], conditions, now)
    present = [each for each in conditions if each.get("type") in OURS]
    return None if _by_type(made) == _by_type(present) else {"conditions": made}


def _parents(wanted: Sequence[Json], there: Sequence[Json], now: str) -> dict[str, Any] | None:
    foreign = [each for each in there if each.get("controllerName") != CONTROLLER]
    own = [each for each in there if each.get("controllerName") == CONTROLLER]
    made: list[dict[str, Any]] = []
    for parent in wanted[: max(0, MOST_PARENTS - len(foreign))]:
        reference = dict(parent["parentRef"])
        before = next((each for each in own if _same_parent(each.get("parentRef") or {}, reference)), {})
        conditions = _conditions(parent["conditions"], before.get("conditions") or (), now)
        made.append({"parentRef": reference, "controllerName": CONTROLLER, "conditions": conditions})
    unchanged = len(made) == len(own) and all(
        _same_parent(one["parentRef"], other["parentRef"])
        and _by_type(one["conditions"]) == _by_type(other["conditions"])
        for one, other in zip(made, own, strict=True)
    )
    return None if unchanged else {"parents": [*foreign, *made]}


def _same_parent(one: Json, other: Json) -> bool:
    """A ParentReference in its parts; "core" is written as the empty group by the API server's defaults for none."""
    return all(one.get(part) == other.get(part) for part in ("kind", "namespace", "name", "sectionName", "port"))


def _conditions(wanted: Iterable[Json], there: Iterable[Json], now: str) -> list[dict[str, Any]]:
    before = _by_type(there)
    return [
        {
            **each,
            "message": str(each.get("message", ""))[:MOST_MESSAGE],
            "lastTransitionTime": before[each["type"]].get("lastTransitionTime", now)
            if each["type"] in before and before[each["type"]].get("status") == each["status"]
            else now,
        }
        for each in wanted
    ]


def _by_type(conditions: Iterable[Json]) -> dict[str, Json]:
    return {str(each.get("type")): each for each in conditions}
