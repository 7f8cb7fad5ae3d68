"""The object store: what exists, kept in memory and as one JSON file an object, and who waits for changes.

Owns uid, resourceVersion, creationTimestamp and the files (written whole: temporary name, then rename). Refuses to
know kinds. Fine here; a real API server keeps history, so that a watcher that was away sees each change.
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from tulle_lab.cluster.objects import Key, Object, key_of, labels_of, selects, timestamp


class Store:
    """Objects by key. `folder` None keeps them in memory only."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.version = 0
        self._folder = folder
        self._clock = clock
        self._objects: dict[Key, Object] = {}
        self._changed = trio.Event()

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None. Not to be changed in place."""
        return self._objects.get(Key(kind, namespace, name))

    def list(self, kind: str, namespace: str | None = None, selector: Object | None = None) -> list[Object]:
        """Objects of a kind, oldest first; of one namespace, matching a LabelSelector, when given."""
        return [
            obj
            for key, obj in self._objects.items()
            if key.kind == kind
            and (namespace is None or key.namespace == namespace)
            and (selector is None or selects(selector, labels_of(obj)))
        ]

    def all(self) -> Iterable[Object]:
        """Everything, oldest first."""
        return list(self._objects.values())

    async def wait_change(self, seen: int) -> int:
        """Wait until the version is past `seen`; the version now."""
        while self.version <= seen:
            await self._changed.wait()
        return self.version

    # --- writing --------------------------------------------------------------------------------------------

    def put(self, obj: Object) -> Object:
        """Create or replace; the stored object. Nothing happens when nothing differs."""
        key = key_of(obj)
        old = self._objects.get(key)
        new = copy.deepcopy(obj)
        metadata = new["metadata"]
        if old is not None:
            for name in ("uid", "creationTimestamp", "resourceVersion"):
                metadata[name] = old["metadata"][name]
            if new == old:
                return old
        else:
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata.setdefault("creationTimestamp", timestamp(self._clock()))
        self._bump()
        metadata["resourceVersion"] = str(self.version)
        self._objects[key] = new
        if path := self._path(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.tmp")
            partial.write_text(json.dumps(new, indent=1))
            partial.rename(path)
        return new

    def update(self, key: Key, change: Callable[[Object], None]) -> Object | None:
        """Apply `change` to a copy of the object and store that; None when it is gone."""
        old = self._objects.get(key)
        if old is None:
            return None
        new = copy.deepcopy(old)
        change(new)
        return self.put(new)

    def delete(self, key: Key) -> bool:
        """Remove at once; whether it was there."""
        if self._objects.pop(key, None) is None:
            return False
        self._bump()
        if path := self._path(key):
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        return True

    def _bump(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = trio.Event()

    def _path(self, key: Key) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / (key.namespace or key.name) / f"{key.kind.lower()}.{key.name}.json"
