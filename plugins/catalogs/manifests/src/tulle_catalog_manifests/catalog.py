"""The catalog: waits for the folder, tells what is in it, watches it.

Owns when to look: after the kernel's notifications, and every few seconds as a safety net. What is there is decided by
the look alone (folder.py, holdings.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tulle_plugin_api.protocols import Catalog, CatalogEvent, Synced

from tulle_catalog_manifests.folder import Folder, Missing
from tulle_catalog_manifests.holdings import Holdings
from tulle_catalog_manifests.notifications import Notifications

log = logging.getLogger(__name__)

VARIABLE = "TULLE_MANIFESTS"
MISSING_SECONDS = 0.25  # how often to see whether a missing folder has come


class Manifests(Catalog):
    """Watches `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Manifests:
        """As TULLE_MANIFESTS says. Raises ValueError where it says nothing."""
        path = environment.get(VARIABLE, "")
        if not path:
            raise ValueError(f"{VARIABLE} is not set; name the folder with the manifests, such as /etc/tulle/manifests")
        return cls(Path(path).absolute())

    async def events(self) -> AsyncIterator[CatalogEvent]:
        """Everything in the folder, Synced, then each change. While the folder is gone, nothing changes."""
        folder, holdings = Folder(self.path), Holdings()
        synced = False
        while True:
            await self._present(folder)
            async with Notifications(self.path) as notifications:  # before the first look, so that nothing slips by
                suspects: set[str] = set()
                while True:
                    try:
                        scan = folder.scan(suspects)
                    except Missing:
                        log.warning("the folder %s is gone; what it held stays in force until it is back", self.path)
                        break
                    for event in holdings.take(scan):
                        yield event
                    if not synced:
                        synced = True
                        yield Synced()
                    if folder.replaced:  # by another folder of that name: the kernel still watches the old one
                        break
                    suspects = {folder.name_of(path) for path in await notifications.next()}

    async def _present(self, folder: Folder) -> None:
        """Wait for the folder, and for a manifest in it: one that is there, but empty, is not complete yet."""
        said = False
        while True:
            problem = folder.problem()
            if not problem:
                return
            if not said:
                said = True
                log.warning("waiting for the folder with the manifests: %s", problem)
            await asyncio.sleep(MISSING_SECONDS)
