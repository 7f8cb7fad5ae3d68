"""The kernel's word that something changed in a folder, gathered so that a burst is one piece of news.

Owns watchfiles. Where it cannot watch (the limit of inotify watches is used up, an odd file system), it says so once,
and the folder is looked at on a timer alone.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import TracebackType

import watchfiles

log = logging.getLogger(__name__)

SETTLE_MS = 20  # after a change, wait as long for the next one
GATHER_MS = 200  # but tell at least so often while changes go on
RESCAN_SECONDS = 5.0  # the safety net
TIMER_SECONDS = 0.5  # the same, where nothing else tells


class Notifications:
    """`async with Notifications(path) as n: paths = await n.next()`. The watching task ends with the block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths: set[str] = set()
        self._news = asyncio.Event()
        self._timeout = RESCAN_SECONDS
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Notifications:
        self._task = asyncio.create_task(self._watch(), name=f"watch {self._path}")
        await asyncio.sleep(0)  # its first step sets the watch up
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def next(self) -> set[str]:
        """The paths that changed, all of a burst; empty when it is only time to look again."""
        try:
            await asyncio.wait_for(self._news.wait(), self._timeout)
        except TimeoutError:
            return set()
        self._news.clear()
        paths, self._paths = self._paths, set()
        return paths

    async def _watch(self) -> None:
        try:
            async for changes in watchfiles.awatch(
                self._path, watch_filter=None, step=SETTLE_MS, debounce=GATHER_MS, recursive=True
            ):
                self._paths |= {path for _, path in changes}
                self._news.set()
        except Exception as error:  # whatever the platform's watcher can fail with; the timer remains
            log.warning(
                "no notifications for %s (%s: %s); looking every %.1f s instead",
                self._path, type(error).__name__, error, TIMER_SECONDS,
            )  # fmt: skip
            self._timeout = TIMER_SECONDS
            self._news.set()
