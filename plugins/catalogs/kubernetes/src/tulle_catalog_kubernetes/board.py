"""What is wanted of statuses, and what is there: shared by the threads that watch and the one that writes.

Owns the lock, and which objects deserve a look. Refuses to know what a status says (statuses.py) and how it is written
(writer.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tulle_plugin_api.protocols import Status

from tulle_catalog_kubernetes.versions import older

KINDS = frozenset({"HTTPRoute", "GRPCRoute", "MeshPolicy"})


class Ref(NamedTuple):
    """An object."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class There:
    """An object as it is: which one, its resourceVersion and status."""

    uid: str
    version: str
    status: Mapping[str, Any]


class Board:
    """See above. Nothing here waits but `wait`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: dict[Ref, Mapping[str, Any]] = {}
        self._there: dict[Ref, There] = {}
        self._look: set[Ref] = set()
        self._closed = False

    def want(self, statuses: Iterable[Status]) -> None:
        """What is wanted of all objects, from now on. What is not named is left as it is."""
        wanted = {Ref(each.kind, each.namespace, each.name): each.status for each in statuses}
        with self._changed:
            changed = {ref for ref, status in wanted.items() if self._wanted.get(ref) != status}
            self._wanted = wanted
            self._add(changed)

    def saw(self, kind: str, key: tuple[str, str], obj: Mapping[str, Any] | None) -> None:
        """An object as the API server told of it, by a watch or in answer to a write; None: it is gone.

        The two ways do not wait for each other: what is older than what is known is no news.
        """
        if kind not in KINDS:
            return
        ref = Ref(kind, *key)
        with self._changed:
            if obj is None:
                self._there.pop(ref, None)
                return
            metadata, before = obj["metadata"], self._there.get(ref)
            made = There(str(metadata.get("uid")), str(metadata["resourceVersion"]), obj.get("status") or {})
            if before is None or before.uid != made.uid or not older(made.version, before.version):
                self._there[ref] = made
                self._add({ref})

    def take(self) -> list[tuple[Ref, Mapping[str, Any], There]]:
        """What deserves a look, what is wanted there, and what is. `again` puts one back."""
        with self._changed:
            refs, self._look = sorted(self._look), set()
            return [(ref, self._wanted[ref], self._there[ref]) for ref in refs if self._known(ref)]

    def again(self, refs: Iterable[Ref] = (), *, everything: bool = False) -> None:
        """These deserve another look; `everything`: all do, as for a writer that is new."""
        with self._changed:
            self._look |= set(self._wanted) if everything else set(refs)

    def wait(self, seconds: float) -> None:
        """Until something deserves a look, or `seconds` are over, or `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(self._known(ref) for ref in self._look), seconds)

    def open(self) -> None:
        """There is a writer (again)."""
        with self._changed:
            self._closed = False

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _known(self, ref: Ref) -> bool:
        return ref in self._wanted and ref in self._there

    def _add(self, refs: set[Ref]) -> None:
        if refs:
            self._look |= refs
            self._changed.notify_all()
