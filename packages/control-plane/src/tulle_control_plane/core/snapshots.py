"""The present configuration of everything that somebody watches, recomputed only where a change can matter.

Owns the catalog's state, what was refused of it, and the results that are watched. Refuses to know who watches and
how results travel. One thread (or event loop) uses it.

    events -> apply() -> store -> topics touched -> watched results marked -> refresh() -> those that did change
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from tulle_plugin_api.config import ConfigError
from tulle_plugin_api.protocols import CatalogEvent, Deleted, Rejected, Synced, Upserted

from tulle_control_plane.core.destination import compute_destination
from tulle_control_plane.core.inbound import compute_inbound
from tulle_control_plane.core.parse import Parser
from tulle_control_plane.core.policies import Directions
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Result, version_of
from tulle_control_plane.core.services import Settings
from tulle_control_plane.core.store import Store, Topic


class DestinationKey(NamedTuple):
    """A destination as clients of one namespace see it."""

    client: str
    address: str


class InboundKey(NamedTuple):
    """A pod's own ports."""

    namespace: str
    pod: str


WatchKey: TypeAlias = DestinationKey | InboundKey


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A result and its version."""

    version: str
    result: Result


@dataclass
class _Watched:
    snapshot: Snapshot
    topics: frozenset[Topic]
    watchers: int = 1


@dataclass
class Snapshots:
    """See the module's docstring."""

    parser: Parser = field(default_factory=Parser)
    settings: Settings = field(default_factory=Settings)
    directions: Directions = field(default_factory=Directions)
    store: Store = field(default_factory=Store)
    synced: bool = False
    rejected: dict[str, str] = field(default_factory=dict)
    """What was refused, by source ("app.yaml", "HTTPRoute default/app-b"), and why."""
    partly: set[str] = field(default_factory=set)
    """Of those the routes that have good rules, too."""

    def __post_init__(self) -> None:
        self._watched: dict[WatchKey, _Watched] = {}
        self._by_topic: dict[Topic, set[WatchKey]] = defaultdict(set)
        self._dirty: dict[WatchKey, None] = {}  # in the order in which they were touched

    # --- what exists -----------------------------------------------------------------------------------

    def apply(self, event: CatalogEvent) -> None:
        """Take in what the catalog tells. A bad object is refused and its last good version stays in force."""
        match event:
            case Upserted(obj):
                self._upsert(obj)
            case Deleted(kind, namespace, name):
                self.rejected.pop(_source(kind, namespace, name), None)
                self.partly.discard(_source(kind, namespace, name))
                self._touch(self.store.drop(kind, (namespace, name)))
            case Rejected(source, problem):
                if problem:
                    self.rejected[source] = problem
                else:
                    self.rejected.pop(source, None)
            case Synced():
                self.synced = True

    def _upsert(self, obj: Mapping[str, object]) -> None:
        metadata = obj.get("metadata")
        known = metadata if isinstance(metadata, Mapping) else {}
        source = _source(obj.get("kind"), known.get("namespace"), known.get("name"))
        try:
            parsed = self.parser.parse(obj)
        except ConfigError as error:
            self.rejected[source] = "; ".join(error.problems)
            (self.partly.add if _some_rules(obj, error.problems) else self.partly.discard)(source)
            return
        self.rejected.pop(source, None)
        self.partly.discard(source)
        if parsed is not None:
            self._touch(self.store.put(parsed))

    def _touch(self, topics: set[Topic]) -> None:
        for topic in topics:
            for key in self._by_topic.get(topic, ()):
                self._dirty[key] = None

    # --- what is watched -------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether `refresh` has work."""
        return bool(self._dirty)

    def watch(self, key: WatchKey) -> Snapshot:
        """The present result for `key`, kept up to date until as many `release`s."""
        watched = self._watched.get(key)
        if watched is not None:
            watched.watchers += 1
            return watched.snapshot
        snapshot, topics = self._compute(key)
        self._watched[key] = _Watched(snapshot, topics)
        for topic in topics:
            self._by_topic[topic].add(key)
        return snapshot

    def release(self, key: WatchKey) -> None:
        """Undo one `watch`. Raises KeyError where there was none."""
        watched = self._watched[key]
        watched.watchers -= 1
        if not watched.watchers:
            del self._watched[key]
            self._dirty.pop(key, None)
            self._forget(key, watched.topics)

    def refresh(self, limit: int | None = None) -> list[tuple[WatchKey, Snapshot]]:
        """Recompute up to `limit` results that a change may have touched; returns those that did change."""
        changed = []
        for key in list(self._dirty)[:limit]:
            del self._dirty[key]
            watched = self._watched[key]
            snapshot, topics = self._compute(key)
            if topics != watched.topics:
                self._forget(key, watched.topics - topics)
                for topic in topics - watched.topics:
                    self._by_topic[topic].add(key)
                watched.topics = topics
            if snapshot.version != watched.snapshot.version:
                watched.snapshot = snapshot
                changed.append((key, snapshot))
        return changed

    def _compute(self, key: WatchKey) -> tuple[Snapshot, frozenset[Topic]]:
        reader = Reader(self.store)
        result: Result
        if isinstance(key, DestinationKey):
            result = compute_destination(reader, key.client, key.address, self.settings, self.directions)
        else:
            result = compute_inbound(reader, key, self.settings, self.directions)
        return Snapshot(version_of(result), result), frozenset(reader.topics)

    def _forget(self, key: WatchKey, topics: frozenset[Topic]) -> None:
        for topic in topics:
            keys = self._by_topic[topic]
            keys.discard(key)
            if not keys:
                del self._by_topic[topic]


_RULE = re.compile(r"spec\.rules\[(\d+)\]")


def _some_rules(obj: Mapping[str, object], problems: Sequence[str]) -> bool:
    """Whether all problems are of single rules, and there are rules without any."""
    spec = obj.get("spec")
    rules = spec.get("rules") if isinstance(spec, Mapping) else None
    found = [_RULE.match(problem) for problem in problems]
    bad = {match[1] for match in found if match is not None}
    return isinstance(rules, list) and None not in found and len(bad) < len(rules)


def _source(kind: object, namespace: object, name: object) -> str:
    if kind == "Namespace":
        return f"{kind} {name}"
    return f"{kind} {namespace or 'default'}/{name}"
