"""The status of every route and policy, as the catalog is to write it.

Owns which objects have one, of which generation, and for which of a route's parents. What the conditions say is
conditions.py's; how they get anywhere is the catalog plugin's. Without Programmed: how many proxies run a route is
known to each replica of the control plane for its own proxies only, and would be written anew with every pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tulle_plugin_api.protocols import CatalogEvent, Deleted, Rejected, Status, Synced, Upserted

from tulle_control_plane.core import conditions
from tulle_control_plane.core.objects import GRPCRoute, HTTPRoute, Key, MeshPolicy
from tulle_control_plane.core.snapshots import Snapshots

_ROUTES: Mapping[str, type[HTTPRoute | GRPCRoute]] = {"HTTPRoute": HTTPRoute, "GRPCRoute": GRPCRoute}
_POLICY = "MeshPolicy"
_MATTERS = frozenset({*_ROUTES, _POLICY, "Service", "ReferenceGrant", "Namespace"})
"""Kinds that a condition may depend on; of EndpointSlices and Pods, which change all the time, none does."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """An object as it is, also where it was refused: its generation, and the parents that are Services."""

    generation: int
    parents: tuple[Mapping[str, Any], ...]


class Statuses:
    """`note` every event; `all` says what is to be written now."""

    def __init__(self, snapshots: Snapshots, gone: Callable[[], conditions.Gone] = dict) -> None:
        self._snapshots = snapshots
        self._gone = gone
        self._subjects: dict[tuple[str, Key], _Subject] = {}

    def note(self, event: CatalogEvent) -> bool:
        """Whether some status may be another now."""
        match event:
            case Upserted(obj):
                kind = obj.get("kind")
                if kind in _ROUTES or kind == _POLICY:
                    self._put(str(kind), obj)
                return kind in _MATTERS
            case Deleted(kind, namespace, name):
                self._subjects.pop((kind, (namespace, name)), None)
                return kind in _MATTERS
            case Rejected() | Synced():
                return True

    def all(self) -> list[Status]:
        """One for each route and policy that exists, in one order."""
        return [
            Status(kind, *key, self._of(kind, key, subject))
            for (kind, key), subject in sorted(self._subjects.items(), key=lambda item: item[0])
        ]

    def _put(self, kind: str, obj: Mapping[str, Any]) -> None:
        metadata, spec = obj.get("metadata"), obj.get("spec")
        if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
            return
        generation = metadata.get("generation")
        references = spec.get("parentRefs") if isinstance(spec, Mapping) else None
        parents = tuple(each for each in references or () if _is_service(each)) if isinstance(references, list) else ()
        key = str(metadata.get("namespace") or "default"), metadata["name"]
        self._subjects[kind, key] = _Subject(generation if isinstance(generation, int) else 0, parents)

    def _of(self, kind: str, key: Key, subject: _Subject) -> Mapping[str, Any]:
        if kind == _POLICY:
            return {"conditions": _written(self._of_policy(key), subject.generation)}
        return {
            "parents": [
                {"parentRef": dict(parent), "conditions": _written(said, subject.generation)}
                for parent, said in zip(subject.parents, self._of_parents(kind, key, subject), strict=True)
            ]
        }

    def _refused(self, kind: str, key: Key) -> tuple[conditions.Condition, ...] | None:
        source = f"{kind} {key[0]}/{key[1]}"
        problem = self._snapshots.rejected.get(source)
        if problem is None:
            return None
        in_force = self._snapshots.store.has(kind, key)
        return conditions.refused(problem, in_force, partly=source in self._snapshots.partly)

    def _of_policy(self, key: Key) -> tuple[conditions.Condition, ...]:
        refused = self._refused(_POLICY, key)
        if refused is not None:
            return refused
        policy = self._snapshots.store.get(MeshPolicy, key)
        return conditions.of_policy(self._snapshots.store, policy, self._gone()) if policy is not None else ()

    def _of_parents(self, kind: str, key: Key, subject: _Subject) -> list[tuple[conditions.Condition, ...]]:
        refused = self._refused(kind, key)
        if refused is not None:
            return [refused] * len(subject.parents)
        route = self._snapshots.store.get(_ROUTES[kind], key)
        if route is None:  # it has not been looked at yet
            return [()] * len(subject.parents)
        return conditions.of_parents(self._snapshots.store, route, self._gone())


def _is_service(reference: object) -> bool:
    """As parse/references.py has it: a Gateway as parent is somebody else's business."""
    return (
        isinstance(reference, Mapping)
        and reference.get("kind") == "Service"
        and reference.get("group") in (None, "", "core")
    )


def _written(said: Iterable[conditions.Condition], generation: int) -> list[dict[str, Any]]:
    observed = {"observedGeneration": generation} if generation else {}
    return [
        {"type": each.type, "status": each.status, "reason": each.reason, "message": each.message, **observed}
        for each in said
    ]
