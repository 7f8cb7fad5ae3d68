"""Tells the catalog what to say of its objects, after each change that matters, and not more than twice a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from tulle_plugin_api.protocols import Catalog, CatalogEvent, Status

from tulle_control_plane.core.statuses import Statuses

log = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds that changes are gathered: objects that belong together are applied together."""


class Reporting:
    """`noted` takes each event after the core did; `run` reports to whatever `catalog` gives. All in one loop."""

    def __init__(self, statuses: Statuses, catalog: Callable[[], Catalog | None], synced: Callable[[], bool]) -> None:
        self._statuses, self._catalog, self._synced = statuses, catalog, synced
        self._wake = asyncio.Event()

    def noted(self, event: CatalogEvent) -> None:
        """Something was told."""
        if self._statuses.note(event):
            self._wake.set()

    async def run(self) -> None:
        """Runs until cancelled. A plugin that raises is named, and asked again at the next change."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(PAUSE)
            self._wake.clear()
            catalog = self._catalog()
            # a catalog that writes nothing costs nothing; before everything is known, all references are broken ones
            if catalog is not None and type(catalog).report is not Catalog.report and self._synced():
                _report(catalog, self._statuses.all())


def _report(catalog: Catalog, statuses: Sequence[Status]) -> None:
    try:
        catalog.report(statuses)
    except Exception:  # a stranger's code
        log.exception("the catalog plugin did not take the statuses of %d objects", len(statuses))
