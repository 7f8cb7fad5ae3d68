"""The catalog: all kinds at once, told in one order.

Owns the threads (one a kind: the official client blocks; one that writes statuses), how their news gets into the event
loop, and when all that existed has been told. A thread waits until its news is taken, so that a slow reader slows the
API server's streams down and fills no memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import NamedTuple

from kubernetes.client import Configuration
from tulle_plugin_api.protocols import Catalog, CatalogEvent, Status, Synced

from tulle_catalog_kubernetes.api import Api, configuration
from tulle_catalog_kubernetes.board import Board
from tulle_catalog_kubernetes.lease import Lease
from tulle_catalog_kubernetes.resources import RESOURCES, Resource
from tulle_catalog_kubernetes.watcher import Watcher
from tulle_catalog_kubernetes.writer import Turn, Writer, turn_of


class _News(NamedTuple):
    events: list[CatalogEvent]
    synced: bool


class _Over(Exception):
    """Nobody listens any more."""


class Kubernetes(Catalog):
    """A cluster. Each run of `events` lists and watches anew. Statuses are written where there is a `turn`."""

    def __init__(
        self, made: Configuration, resources: Sequence[Resource] = RESOURCES, turn: Turn | None = None
    ) -> None:
        self._configuration = made
        self._resources = resources
        self._turn = turn
        self._board = Board() if turn is not None else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Kubernetes:
        """As TULLE_KUBECONFIG says, else as a pod's service account. Raises ValueError where there is neither."""
        return cls(configuration(environment), turn=turn_of(environment))

    def report(self, statuses: Sequence[Status]) -> None:
        """Written by a thread of its own, by the replica that holds the lease; read by nobody where there is none."""
        if self._board is not None:
            self._board.want(statuses)

    async def events(self) -> AsyncIterator[CatalogEvent]:
        """Everything, Synced, then each change. When it is left, its threads end: at once, or with their next read."""
        queue: asyncio.Queue[_News] = asyncio.Queue(maxsize=len(self._resources))
        loop, stopping, api = asyncio.get_running_loop(), threading.Event(), Api(self._configuration)

        def tell(events: list[CatalogEvent], *, synced: bool) -> None:
            if stopping.is_set():
                raise _Over
            try:
                asyncio.run_coroutine_threadsafe(queue.put(_News(events, synced)), loop).result()
            except (RuntimeError, CancelledError):  # the loop has ended
                raise _Over from None

        failures: list[BaseException] = []

        def run(watcher: Watcher | Writer) -> None:
            try:
                watcher.run()
            except _Over:
                pass
            except BaseException as error:  # a fault of ours: the control plane restarts the catalog, and names it
                failures.append(error)
                try:
                    tell([], synced=False)
                except _Over:
                    pass

        for resource in self._resources:
            watcher = Watcher(resource, api, tell, stopping, board=self._board)
            threading.Thread(target=run, args=(watcher,), name=f"watch {resource.plural}", daemon=True).start()
        if self._turn is not None and self._board is not None:
            self._board.open()
            writer = Writer(self._board, Lease(api, *self._turn), api, stopping)
            threading.Thread(target=run, args=(writer,), name="write statuses", daemon=True).start()
        missing = len(self._resources)
        try:
            while True:
                news = await queue.get()
                if failures:
                    raise failures[0]
                for event in news.events:
                    yield event
                if news.synced:
                    missing -= 1
                    if missing == 0:
                        yield Synced()
        finally:
            stopping.set()
            if self._board is not None:
                self._board.close()
            while not queue.empty():  # emptied once, it has room for what each thread still waits to put in
                queue.get_nowait()
            # cutting a stream off may wait for its reader, who waits for nobody: not in the loop's thread
            threading.Thread(target=api.close, daemon=True).start()
