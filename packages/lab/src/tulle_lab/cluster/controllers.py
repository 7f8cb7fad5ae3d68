"""Starts the controllers: a task for each Deployment and Job, and one loop for what is cheap to compute again.

Owns the loop for EndpointSlices and for Namespaces that go. Everything is level-triggered: each change of the store
leads to the same question, "what should be?", never to "what happened?".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from tulle_lab.cluster import endpoints
from tulle_lab.cluster.api import Api
from tulle_lab.cluster.deployments import DeploymentController
from tulle_lab.cluster.jobs import JobController
from tulle_lab.cluster.objects import Key, is_terminating, key_of, labels_of
from tulle_lab.cluster.progress import Progress

_BY_KIND: dict[str, Callable[[Api, Key, str], Any]] = {"Deployment": DeploymentController, "Job": JobController}

_AFTER_FAULT = 5.0


class Controllers:
    """Run `run` in a nursery."""

    def __init__(self, api: Api, report: Callable[[str], None]) -> None:
        self._api, self._store, self._report = api, api.store, report
        self.progress = Progress()
        self._tasks: set[str] = set()

    async def run(self) -> None:
        """Follow the store for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                version = self._store.version
                self._endpoint_slices()
                self._namespaces()
                self.progress.reached(self._store.version)  # its own slices included
                for kind, controller in _BY_KIND.items():
                    for obj in self._store.list(kind):
                        uid = obj["metadata"]["uid"]
                        if uid not in self._tasks:
                            self._tasks.add(uid)
                            nursery.start_soon(self._one, uid, controller(self._api, key_of(obj), uid).run)
                await self._store.wait_change(version)

    async def _one(self, uid: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A controller; it is run again when it fails, so that a fault of the lab stops one object and not all."""
        while True:
            try:
                await run()
                break
            except Exception:
                self._report("a controller failed")
                await trio.sleep(_AFTER_FAULT)
        if not self._still_there(uid):
            self._tasks.discard(uid)

    def _still_there(self, uid: str) -> bool:
        """A Job that has ended stays, and is not to be run again."""
        return any(obj["metadata"]["uid"] == uid for kind in _BY_KIND for obj in self._store.list(kind))

    def _endpoint_slices(self) -> None:
        pods = self._store.list("Pod")
        wanted = {}
        for service in self._store.list("Service"):
            for piece in endpoints.slices(service, pods):
                wanted[key_of(piece)] = piece
        for piece in self._store.list("EndpointSlice"):
            if labels_of(piece).get(endpoints.MANAGED_BY) == endpoints.CONTROLLER and key_of(piece) not in wanted:
                self._store.delete(key_of(piece))
        for piece in wanted.values():
            self._store.put(piece)

    def _namespaces(self) -> None:
        """A Namespace that was deleted goes when nothing is left in it."""
        for namespace in self._store.list("Namespace"):
            name = namespace["metadata"]["name"]
            if is_terminating(namespace) and not any(
                obj["metadata"].get("namespace") == name for obj in self._store.all()
            ):
                self._store.delete(key_of(namespace))
