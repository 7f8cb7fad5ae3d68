"""Events: short notes about what happened to an object, for `get events` and for the person who waits.

Owns a bounded list. The same note again only raises its count, as on Kubernetes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tulle_lab.cluster.objects import Key, Object, key_of, timestamp

_KEPT = 1000


class Events:
    """The latest thousand notes."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._notes: deque[Object] = deque(maxlen=_KEPT)
        self._number = 0

    def normal(self, about: Object | Key, reason: str, message: str) -> None:
        """Something expected happened."""
        self._add("Normal", about, reason, message)

    def warning(self, about: Object | Key, reason: str, message: str) -> None:
        """Something that somebody should look at."""
        self._add("Warning", about, reason, message)

    def list(self, namespace: str | None = None, about: Key | None = None) -> list[Object]:
        """Oldest first."""
        return [
            note
            for note in self._notes
            if (namespace is None or note["metadata"]["namespace"] == namespace)
            and (about is None or _about(note) == about)
        ]

    def _add(self, kind: str, about: Object | Key, reason: str, message: str) -> None:
        key = about if isinstance(about, Key) else key_of(about)
        now = timestamp(self._clock())
        for note in reversed(self._notes):
            if _about(note) == key and note["reason"] == reason and note["message"] == message:
                note["count"] += 1
                note["lastTimestamp"] = now
                return
        self._number += 1
        self._notes.append(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{key.name}.{self._number:x}",
                    "namespace": key.namespace,
                    "creationTimestamp": now,
                },
                "involvedObject": {"kind": key.kind, "namespace": key.namespace, "name": key.name},
                "type": kind,
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
            }
        )


def _about(note: dict[str, Any]) -> Key:
    involved = note["involvedObject"]
    return Key(involved["kind"], involved["namespace"], involved["name"])
