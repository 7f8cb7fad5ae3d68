"""Feeds the catalog plugin's events to the core, for ever.

Owns what happens when the plugin breaks: it is named in the log and started again with a growing pause, while what it
told before stays in force. A new start tells everything anew; what it no longer tells by its `Synced` is gone, and
only then.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from tulle_plugin_api.protocols import Catalog, CatalogEvent, Deleted, Synced, Upserted

from tulle_control_plane.core.parse import KINDS
from tulle_control_plane.core.snapshots import Snapshots

log = logging.getLogger(__name__)

PAUSE_FIRST, PAUSE_LONGEST = 0.5, 30.0  # seconds
BATCH = 200  # events taken in before other tasks get their turn


class Feed:
    """See the module's docstring. `wall` is wall-clock seconds; `noted` is given each event after the core was."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Catalog],
        snapshots: Snapshots,
        changed: Callable[[], None],
        wall: Callable[[], float] = time.time,
        noted: Callable[[CatalogEvent], None] = lambda event: None,
    ) -> None:
        self.name = name
        self.catalog: Catalog | None = None
        """The plugin's present life."""
        self.rejected_since: dict[str, float] = {}
        """When each source in `Snapshots.rejected` was refused first."""
        self._make = make
        self._snapshots = snapshots
        self._changed = changed
        self._wall = wall
        self._noted = noted
        self._told: set[tuple[str, str, str]] | None = None  # since this start, until its Synced

    async def run(self) -> None:
        """Runs until cancelled."""
        pause = PAUSE_FIRST
        while True:
            self._told = set()
            try:
                count = 0
                self.catalog = self._make()
                async for event in self.catalog.events():
                    self.take(event)
                    pause = PAUSE_FIRST if isinstance(event, Synced) else pause
                    count += 1
                    if count % BATCH == 0:
                        await asyncio.sleep(0)
                problem = "its events ended; a catalog goes on for ever"
            except Exception as error:  # a stranger's code: whatever it raises must not end the mesh
                problem = f"{type(error).__name__}: {error}"
            log.error(
                "the catalog plugin %r failed (%s); what it told so far stays in force, it is started again in %.1f s",
                self.name,
                problem,
                pause,
            )
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            self._snapshots.rejected.clear()  # what is still bad will be told again
            pause = min(pause * 2, PAUSE_LONGEST)

    def take(self, event: CatalogEvent) -> None:
        """One event."""
        match event:
            case Upserted(obj):
                self._tell(obj)
            case Synced():
                self._sweep()
            case _:
                pass
        before = set(self._snapshots.rejected)
        first = isinstance(event, Synced) and not self._snapshots.synced
        self._snapshots.apply(event)
        self._note_rejections(before)
        self._noted(event)
        if first:
            log.info("the catalog has synced", extra={"catalog": self.name, "objects": self._snapshots.store.counts()})
        self._changed()

    def _tell(self, obj: object) -> None:
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if self._told is not None and isinstance(obj, dict) and isinstance(metadata, dict):
            kind = str(obj.get("kind"))
            namespace = "" if kind == "Namespace" else str(metadata.get("namespace") or "default")
            self._told.add((kind, namespace, str(metadata.get("name"))))

    def _sweep(self) -> None:
        if self._told is None:
            return
        for kind in KINDS:
            for namespace, name in self._snapshots.store.keys(kind):
                if (kind, namespace, name) not in self._told:
                    self._snapshots.apply(Deleted(kind, namespace, name))
                    self._noted(Deleted(kind, namespace, name))
        self._told = None

    def _note_rejections(self, before: set[str]) -> None:
        rejected = self._snapshots.rejected
        for source in rejected.keys() - before:
            self.rejected_since[source] = self._wall()
            log.warning("refused, what was there before stays", extra={"source": source, "problem": rejected[source]})
        for source in self.rejected_since.keys() - rejected.keys():
            del self.rejected_since[source]
            log.info("good again", extra={"source": source})
