"""One kind, listed and watched for ever, in a thread of its own. The thin shell around reflector.py and course.py.

Owns the order: list whole, tell, watch from there. Tells through a callback, whose wait is the back-pressure.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tulle_plugin_api.protocols import CatalogEvent, Rejected

from tulle_catalog_kubernetes.api import SLACK_SECONDS, Api, ApiFailure
from tulle_catalog_kubernetes.board import Board
from tulle_catalog_kubernetes.course import Course
from tulle_catalog_kubernetes.lines import Lines, Unreadable
from tulle_catalog_kubernetes.reflector import Gone, NotAnObject, Reflector, WatchFailed
from tulle_catalog_kubernetes.resources import Resource

log = logging.getLogger(__name__)

PAGE = 500
LOUD = 3
"""So many failures in a row are told to people; one alone happens at every restart of an API server."""


class Tell(Protocol):
    """Takes events; `synced` once the kind's first list is in. Returns when they are taken."""

    def __call__(self, events: list[CatalogEvent], *, synced: bool) -> None:
        """Raises what ends the watcher."""


class Watcher:
    """See above. `run` returns when `stopping` is set and the API is closed."""

    def __init__(
        self,
        resource: Resource,
        api: Api,
        tell: Tell,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
        board: Board | None = None,
    ) -> None:
        self.resource = resource
        self.reflector = Reflector(resource, board)
        self.course = Course(chance or random.Random())
        self._api = api
        self._tell = tell
        self._stopping = stopping
        self._clock = clock
        self._synced = False
        self._problem = ""
        self._version = 0  # index into resource.versions

    def run(self) -> None:
        """Until told to stop."""
        while not self._stopping.is_set():
            pause = self.step()
            if pause:
                self._stopping.wait(pause)

    def step(self) -> float:
        """One list or one watch. Returns the pause after it, in seconds."""
        try:
            if not self.reflector.version:
                self._list()
                return 0.0
            return self._watch()
        except Gone as gone:
            log.info("%s: the watch is too old to go on (%s); listing again", self.resource.kind, gone)
            return self.course.gone()
        except (NotAnObject, Unreadable) as problem:
            self.reflector.version = ""  # whatever was missed, a list has it
            return self._failed(str(problem), 0.0)
        except WatchFailed as failed:
            return self._failed(str(failed), 0.0)
        except ApiFailure as failure:
            if failure.status == 410:
                log.info("%s: the watch is too old to go on (%s); listing again", self.resource.kind, failure)
                self.reflector.version = ""
                return self.course.gone()
            if failure.status == 404 and self.resource.optional:
                return self._absent()
            if failure.status == 504:  # "Too large resource version": an API server behind the one that we had
                self.reflector.version = ""
            return self._failed(str(failure), failure.retry_after, failure.status)

    def _list(self) -> None:
        items: list[Mapping[str, Any]] = []
        query = {"limit": str(PAGE)}
        while True:
            page = self._api.get(self._path(), query)
            items += page.get("items") or ()
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                break
            query = {"limit": str(PAGE), "continue": metadata["continue"]}
        if not metadata.get("resourceVersion"):
            raise NotAnObject("a list without metadata.resourceVersion")
        self.reflector.api_version = self.resource.versions[self._version]
        events = self.reflector.listed(items, metadata["resourceVersion"])
        self.course.listed()
        self._pass(events, well=True)

    def _watch(self) -> float:
        seconds = self.course.watch_seconds()
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.reflector.version,
            "timeoutSeconds": str(seconds),
        }
        began, count, lines = self._clock(), 0, Lines()
        for chunk in self._api.stream(self._path(), query, seconds + SLACK_SECONDS):
            events: list[CatalogEvent] = []
            try:
                for event in lines.feed(chunk):
                    events += self.reflector.watched(event)
                    count += 1
            finally:
                if events:  # also those before an event that ends the watch
                    self._pass(events)
            if count:
                self.course.told()
                self._well()
            if self._stopping.is_set():
                break
        return self.course.ended(self._clock() - began, count)

    def _absent(self) -> float:
        if self._version + 1 < len(self.resource.versions):
            self._version += 1  # perhaps an older one
            self.reflector.version = ""
            return 0.0
        self._version = 0
        pause, forget = self.course.absent()
        self.reflector.version = ""
        if forget or not self._synced:
            self._pass(self.reflector.absent(), well=True)
        return pause

    def _failed(self, message: str, retry_after: float, status: int = 0) -> float:
        pause = self.course.failed(retry_after)
        if self._stopping.is_set():
            return pause
        if self.course.failures >= LOUD and not self._problem:
            self._problem = f"{message}{_REMEDIES.get(status, '')}"
            log.warning("%s cannot be watched: %s", self.resource.plural, self._problem)
            self._tell([Rejected(self._source(), f"cannot be watched: {self._problem}")], synced=False)
        return pause

    def _well(self) -> None:
        if self._problem:
            self._pass([], well=True)

    def _pass(self, events: list[CatalogEvent], *, well: bool = False) -> None:
        if well and self._problem:
            self._problem = ""
            events = [Rejected(self._source(), ""), *events]
        first = well and not self._synced
        self._synced = self._synced or well
        if events or first:
            self._tell(events, synced=first)

    def _source(self) -> str:
        return f"kubernetes {self.resource.plural}"

    def _path(self) -> str:
        return self.resource.path(self.resource.versions[self._version])


_REMEDIES = {
    401: "; the token or certificate is not accepted",
    403: "; the role of this service account must allow list and watch",
}
