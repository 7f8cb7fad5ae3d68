"""What is known of one kind, and what a list or a watch event changes in it. Pure.

Owns the resourceVersion to go on from (Kubernetes API concepts, "Efficient detection of changes"), and the rules that
make every way of hearing of an object safe:

- A list is the truth: what it does not have is gone, what it has otherwise is changed, and nothing else is told. So
  after 410 Gone, or after any doubt, listing again never empties anything.
- A watch event is news. One that repeats, or is older than what is known of the same object, is no news.
- An object is its uid: the deletion of one says nothing about another of the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tulle_plugin_api.protocols import CatalogEvent, Deleted, Upserted

from tulle_catalog_kubernetes.board import Board
from tulle_catalog_kubernetes.resources import Resource
from tulle_catalog_kubernetes.trim import trimmed
from tulle_catalog_kubernetes.versions import older

Key: TypeAlias = tuple[str, str]


class Gone(Exception):
    """The resourceVersion is too old to go on from (410): list again."""


class WatchFailed(Exception):
    """The API server ended the watch with an error other than 410."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotAnObject(Exception):
    """Something without a name or version was told. The message says what."""


@dataclass(slots=True)
class _Known:
    uid: str
    version: str
    told: Mapping[str, Any]


class Reflector:
    """One kind. `version` is empty when the next thing to do is a list. `board` is shown each object as it is."""

    def __init__(self, resource: Resource, board: Board | None = None) -> None:
        self.resource = resource
        self._board = board
        self.version = ""
        self.api_version = resource.versions[0]
        self._known: dict[Key, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def listed(self, items: Iterable[Mapping[str, Any]], version: str) -> list[CatalogEvent]:
        """A complete list, at `version`: what it changes. Raises NotAnObject, and then nothing has changed."""
        raw = {self._key(item): item for item in items}
        now = {key: self._entry(item) for key, item in raw.items()}
        events: list[CatalogEvent] = [
            Deleted(self.resource.kind, *key) for key in sorted(self._known.keys() - now.keys())
        ]
        for key, entry in now.items():
            before = self._known.get(key)
            if before is None or before.told != entry.told:
                events.append(Upserted(entry.told))
        for key in {**self._known, **raw}:
            self._show(key, raw.get(key))
        self._known, self.version = now, version
        return events

    def watched(self, event: Mapping[str, Any]) -> list[CatalogEvent]:
        """One watch event: what it changes. Raises Gone, WatchFailed, NotAnObject."""
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            status = obj.get("code") if isinstance(obj.get("code"), int) else 500
            message = str(obj.get("message") or obj.get("reason") or "no reason given")
            if status == 410:
                self.version = ""
                raise Gone(message)
            raise WatchFailed(status, message)
        version = _text(obj, "resourceVersion")
        events: list[CatalogEvent] = []
        if kind in ("ADDED", "MODIFIED"):
            events = self._put(self._key(obj), self._entry(obj), obj)
        elif kind == "DELETED":
            events = self._drop(self._key(obj), _text(obj, "uid"))
        # BOOKMARK, and types to come: only the version counts
        if not older(version, self.version):
            self.version = version
        return events

    def absent(self) -> list[CatalogEvent]:
        """The kind itself is gone from the cluster, and with it all its objects."""
        events: list[CatalogEvent] = [Deleted(self.resource.kind, *key) for key in sorted(self._known)]
        for key in self._known:
            self._show(key, None)
        self._known, self.version = {}, ""
        return events

    def _put(self, key: Key, entry: _Known, obj: Mapping[str, Any]) -> list[CatalogEvent]:
        before = self._known.get(key)
        if before is not None and before.uid == entry.uid and older(entry.version, before.version):
            return []
        self._known[key] = entry
        self._show(key, obj)
        return [] if before is not None and before.told == entry.told else [Upserted(entry.told)]

    def _drop(self, key: Key, uid: str) -> list[CatalogEvent]:
        before = self._known.get(key)
        if before is None or before.uid != uid:
            return []
        del self._known[key]
        self._show(key, None)
        return [Deleted(self.resource.kind, *key)]

    def _show(self, key: Key, obj: Mapping[str, Any] | None) -> None:
        if self._board is not None:
            self._board.saw(self.resource.kind, key, obj)

    def _key(self, obj: Mapping[str, Any]) -> Key:
        metadata = obj.get("metadata")
        if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
            raise NotAnObject(f"a {self.resource.kind} without metadata.name")
        return (str(metadata.get("namespace") or "") if self.resource.namespaced else ""), metadata["name"]

    def _entry(self, obj: Mapping[str, Any]) -> _Known:
        api_version = self.resource.api_version(self.api_version)
        told = trimmed(self.resource.kind, api_version, obj)
        return _Known(_text(obj, "uid"), _text(obj, "resourceVersion"), told)


def _text(obj: Mapping[str, Any], name: str) -> str:
    metadata = obj.get("metadata")
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    if not isinstance(value, str):
        raise NotAnObject(f"an object without metadata.{name}")
    return value
