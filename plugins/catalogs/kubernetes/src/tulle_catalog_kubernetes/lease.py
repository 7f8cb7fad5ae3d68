"""One of several, by a Lease (coordination.k8s.io/v1): who may write. client-go's leader election, its rules kept.

Owns who holds it, and for how long we may believe that we do. Another's clock is never compared with ours: a lease is
over when it has not changed for its duration by our own clock (client-go, leaderelection.go).

Simplification: it is not given back at the end, so that after a restart nobody writes for `SECONDS`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tulle_catalog_kubernetes.api import Api, ApiFailure

log = logging.getLogger(__name__)

SECONDS = 15
RENEW = 5.0
MARGIN = 5.0
"""So much before its end we stop to believe in it. A write that outlives it all the same harms nothing: it is refused
where another wrote meanwhile (resourceVersion)."""


def utc_now() -> datetime:
    """The time, as a Lease holds it."""
    return datetime.now(UTC)


class Lease:
    """`renew` asks; `held` says whether it is ours. One thread uses it."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = utc_now,
    ) -> None:
        self._api, self._clock, self._wall = api, clock, wall
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name, self._identity = name, identity
        self._until = -1.0
        self._seen: tuple[object, float] = (None, 0.0)  # its resourceVersion, and since when by our clock
        self._next = -1.0

    @property
    def held(self) -> bool:
        """Whether we may act now."""
        return self._clock() < self._until

    def seconds(self) -> float:
        """Until `renew` is to be called again."""
        return max(0.0, self._next - self._clock())

    def renew(self) -> bool:
        """Take or keep the lease, if that is possible. Returns whether it has just become ours. Raises ApiFailure."""
        had, began = self.held, self._clock()
        self._next = began + RENEW
        try:
            lease = self._api.get(f"{self._path}/{self._name}", {})
        except ApiFailure as failure:
            if failure.status != 404:
                raise
            lease = None
        try:
            if lease is None:
                self._api.send("POST", self._path, {}, self._lease({}))
            elif self._free(lease):
                self._api.send("PUT", f"{self._path}/{self._name}", {}, self._lease(lease))
            else:
                self._until = -1.0
                return False
        except ApiFailure as failure:
            if failure.status != 409:
                raise
            self._until = -1.0  # another was quicker
            return False
        self._until = began + SECONDS - MARGIN
        if not had:
            log.info("statuses are written by this replica", extra={"lease": self._name, "identity": self._identity})
        return not had

    def _free(self, lease: dict[str, Any]) -> bool:
        spec, now = lease.get("spec") or {}, self._clock()
        if spec.get("holderIdentity") in (None, "", self._identity):
            return True
        told = lease["metadata"].get("resourceVersion")
        if self._seen[0] != told:
            self._seen = (told, now)
        return now - self._seen[1] >= float(spec.get("leaseDurationSeconds") or SECONDS)

    def _lease(self, before: dict[str, Any]) -> dict[str, Any]:
        spec, now = before.get("spec") or {}, self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changes = spec.get("holderIdentity") != self._identity
        metadata = {"name": self._name}
        if before:  # nobody may have changed it since
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": SECONDS,
                "acquireTime": now if changes else spec.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (1 if changes and before else 0),
            },
        }
