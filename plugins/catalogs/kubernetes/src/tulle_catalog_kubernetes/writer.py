"""Writes statuses, in a thread of its own, for as long as the lease is ours. The thin shell around statuses.py.

Server-side apply with the resourceVersion that was looked at: where somebody else wrote meanwhile (409), it waits for
the watch to bring that, and looks again. Nothing here can spin: what failed is tried again after a growing pause.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from tulle_catalog_kubernetes.api import Api, ApiFailure
from tulle_catalog_kubernetes.board import Board, Ref
from tulle_catalog_kubernetes.course import Course
from tulle_catalog_kubernetes.lease import Lease, utc_now
from tulle_catalog_kubernetes.resources import RESOURCES
from tulle_catalog_kubernetes.statuses import due

log = logging.getLogger(__name__)

VARIABLE = "TULLE_STATUS_LEASE"
MANAGER = "tulle-control-plane"
_RESOURCES = {each.kind: each for each in RESOURCES}


class Turn(NamedTuple):
    """The lease that says whose turn it is to write, and who we are to it."""

    namespace: str
    name: str
    identity: str


def turn_of(environment: Mapping[str, str]) -> Turn | None:
    """From TULLE_STATUS_LEASE=NAMESPACE/NAME; None where it is not set: nothing is written. Raises ValueError."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ValueError(
            f"{VARIABLE}={text!r}: expected NAMESPACE/NAME of a Lease, such as tulle-system/tulle-control-plane"
        )
    host = environment.get("HOSTNAME") or socket.gethostname()  # the pod's name
    return Turn(namespace, name, f"{host}_{os.urandom(4).hex()}")


class Writer:
    """See above. `run` returns when `stopping` is set and the board is closed."""

    def __init__(self, board: Board, lease: Lease, api: Api, stopping: threading.Event) -> None:
        self._board, self._lease, self._api, self._stopping = board, lease, api, stopping
        self._course = Course(random.Random())
        self._told = ""

    def run(self) -> None:
        """Until told to stop."""
        while not self._stopping.is_set():
            pause = self.step()
            if pause:
                self._stopping.wait(pause)
            else:
                self._board.wait(self._lease.seconds())

    def step(self) -> float:
        """Keep the lease, if it is time; write what is due, if it is ours. Returns the pause after it, in seconds."""
        try:
            if not self._lease.seconds() and self._lease.renew():
                self._board.again(everything=True)
        except ApiFailure as failure:
            return self._failed(f"the lease: {failure}", failure)
        if not self._lease.held:
            self._board.take()  # another's turn; should it become ours, everything is looked at
            return self._lease.seconds()
        return self._write()

    def _write(self) -> float:
        pause, failed = 0.0, set[Ref]()
        for ref, wanted, there in self._board.take():
            status = due(wanted, there.status, utc_now().strftime("%Y-%m-%dT%H:%M:%SZ"))
            if status is None:
                continue
            if failed or not self._lease.held:
                failed.add(ref)
                continue
            try:
                self._apply(ref, status, there.version)
            except ApiFailure as failure:
                if failure.status in (404, 409):  # it is gone, or it changed: the watch says which, and all is well
                    continue
                failed.add(ref)
                pause = self._failed(f"{ref.kind} {ref.namespace}/{ref.name}: {failure}", failure)
        if not failed:
            self._course.listed()
            self._told = ""
        self._board.again(failed)
        return pause

    def _apply(self, ref: Ref, status: dict[str, Any], version: str) -> None:
        resource = _RESOURCES[ref.kind]
        api_version = resource.versions[0]
        path = f"/apis/{resource.group}/{api_version}/namespaces/{ref.namespace}/{resource.plural}/{ref.name}/status"
        body = {
            "apiVersion": resource.api_version(api_version),
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace, "resourceVersion": version},
            "status": status,
        }
        # force: a list that all controllers share belongs to whoever wrote last; what the others said is in it
        made = self._api.send("PATCH", path, {"fieldManager": MANAGER, "force": "true"}, body)
        self._board.saw(ref.kind, (ref.namespace, ref.name), made)

    def _failed(self, problem: str, failure: ApiFailure) -> float:
        pause = self._course.failed(failure.retry_after)
        if failure.status == 403:
            problem += "; the role of this service account must allow it (deploy/base/control-plane/rbac.yaml)"
        if problem != self._told and not self._stopping.is_set():
            self._told = problem
            log.warning("statuses cannot be written: %s", problem)
        return pause
