"""A rehearsal: what objects would change, at which proxies, if they were applied. Nothing is.

Owns the copy of the catalog in which they are applied, and what is compared. Uses the same parser and the same
computation as the real thing, so that what is said here is what would happen.

Fine here: the catalog's indexes are copied for each rehearsal, and every destination that somebody watches is computed
once more; a very large mesh would keep its store in a persistent structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict
from tulle_plugin_api.protocols import Upserted

from tulle_control_plane.core import conditions, objects
from tulle_control_plane.core.objects import GRPCRoute, HTTPRoute, MeshPolicy
from tulle_control_plane.core.results import Destination, Result
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots, WatchKey
from tulle_control_plane.core.store import Store
from tulle_control_plane.grpc.session import INBOUND, Session
from tulle_control_plane.translate import destination, inbound

Json: TypeAlias = dict[str, Any]

KINDS = ("HTTPRoute", "GRPCRoute", "MeshPolicy", "ReferenceGrant")
"""What can be rehearsed. Of other kinds a cluster fills in what a manifest does not say (addresses, pods)."""
_STORED = (
    objects.Namespace, objects.Service, objects.EndpointSlice, objects.Pod, objects.HTTPRoute, objects.GRPCRoute,
    objects.ReferenceGrant, objects.MeshPolicy,
)  # fmt: skip


@dataclass
class Rehearsal:
    """One rehearsal. Made in the event loop (it copies), played anywhere. `now`: RFC 3339, for objects that are new."""

    copy: Snapshots
    sessions: Mapping[WatchKey, Sequence[str]]
    """Proxies ("namespace/pod") by what they watch."""
    now: str
    _source: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, real: Snapshots, sessions: Iterable[Session], now: str) -> Rehearsal:
        """A copy of what is in force, and who watches what."""
        store = Store()
        for kind in _STORED:
            for obj in real.store.all(kind):
                store.put(obj)
        copy = Snapshots(real.parser, real.settings, real.directions, store, synced=True)
        watchers: dict[WatchKey, list[str]] = {}
        for session in sessions:
            for name in session.subscriptions:
                watchers.setdefault(session.key_of(name), []).append(f"{session.node.namespace}/{session.node.pod}")
        return cls(copy, watchers, now)

    def play(self, given: Sequence[Any]) -> Json:
        """Apply `given` to the copy; what that changes, as README.md documents it."""
        before = {key: self.copy.watch(key).result for key in (*self.sessions, *self._unwatched())}
        changes = [self._apply(obj) for obj in given]
        after = {key: snapshot.result for key, snapshot in self.copy.refresh()}
        return {
            "objects": changes,
            "destinations": [
                _difference(key, before[key], after[key], self.sessions.get(key, ()))
                for key in sorted(after, key=_order)
            ],
        }

    def _unwatched(self) -> list[DestinationKey]:
        """Every Service's ports as clients of its own namespace see them, where no proxy watches them."""
        found = []
        for service in self.copy.store.all(objects.Service):
            for port in service.ports if service.vips else ():
                key = DestinationKey(service.namespace, address_of(service.vips[0], port.port))
                if key not in self.sessions:
                    found.append(key)
        return found

    def _apply(self, obj: Any) -> Json:
        metadata = obj.get("metadata") if isinstance(obj, Mapping) else None
        if not isinstance(obj, Mapping) or not isinstance(metadata, Mapping) or not metadata.get("name"):
            return _row("", "", "", "refused", "expected an object with apiVersion, kind and metadata.name")
        kind, namespace, name = str(obj.get("kind")), str(metadata.get("namespace") or "default"), str(metadata["name"])
        if kind not in KINDS:
            return _row(kind, namespace, name, "ignored", f"only {', '.join(KINDS)} are compared")
        type_ = getattr(objects, kind)
        old = self.copy.store.get(type_, (namespace, name))
        # who is older matters to who comes first: what there is keeps its age, what is new is the youngest
        created = self.now if old is None else getattr(old, "created", "")
        self.copy.apply(Upserted({**obj, "metadata": {**metadata, "creationTimestamp": created or None}}))
        problem = self.copy.rejected.get(f"{kind} {namespace}/{name}", "")
        new = self.copy.store.get(type_, (namespace, name))
        if problem:
            return _row(kind, namespace, name, "refused", problem)
        what = "unchanged" if new == old else "changed" if old else "new"
        return _row(kind, namespace, name, what, "", self._conditions(new))

    def _conditions(self, obj: object) -> list[Json]:
        if isinstance(obj, HTTPRoute | GRPCRoute):
            return [asdict(one) for one in conditions.of_route(self.copy.store, obj)]
        if isinstance(obj, MeshPolicy):
            return [asdict(one) for one in conditions.of_policy(self.copy.store, obj)]
        return []


def address_of(ip: str, port: int) -> str:
    """As proxies name what was dialled."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def config_of(result: Result) -> Json:
    """A result in the field names of discovery.proto."""
    message = destination(result) if isinstance(result, Destination) else inbound(result)
    found: Json = MessageToDict(message, preserving_proto_field_name=True)
    return found


def _row(kind: str, namespace: str, name: str, change: str, problem: str, said: Sequence[Json] = ()) -> Json:
    return {"kind": kind, "namespace": namespace, "name": name, "change": change, "problem": problem,
            "conditions": list(said)}  # fmt: skip


def _difference(key: WatchKey, before: Result, after: Result, proxies: Sequence[str]) -> Json:
    service = after.service if isinstance(after, Destination) else None
    return {
        "client": key[0],
        "destination": key.address if isinstance(key, DestinationKey) else INBOUND,
        "service": service.authority if service else "",
        "proxies": sorted(proxies),
        "before": config_of(before),
        "after": config_of(after),
    }


def _order(key: WatchKey) -> tuple[bool, str, str]:
    return not isinstance(key, DestinationKey), *key
