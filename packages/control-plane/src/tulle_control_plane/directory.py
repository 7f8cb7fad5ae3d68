"""The catalog as telemetry and the HTTP API look at it: who is behind an address, and what deserves a row.

Owns the bridge from core's objects to names that people read.
"""

from __future__ import annotations

from collections import Counter

from tulle_control_plane.core.addresses import normal_ip
from tulle_control_plane.core.objects import Key, Pod, Service
from tulle_control_plane.core.store import Store
from tulle_control_plane.telemetry.traffic import Peer
from tulle_control_plane.telemetry.views import Subject


class CatalogDirectory:
    """Looks up names in the catalog's present state."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pod(self, namespace: str, name: str) -> Peer | None:
        """The workload of that pod."""
        return _peer(self._store.get(Pod, (namespace, name)))

    def address(self, ip: str) -> Peer | None:
        """The workload of the running pod with that address."""
        try:
            return _peer(self._store.pod_at(normal_ip(ip)))
        except ValueError:
            return None

    def subjects(self, namespace: str = "", kind: str = "") -> list[Subject]:
        """Every workload that has running pods, and every Service; of one namespace and kind, or all for ""."""
        pods: Counter[tuple[str, str, str]] = Counter()
        meshed: Counter[tuple[str, str, str]] = Counter()
        for pod in self._store.all(Pod):
            if not pod.finished:
                workload_kind, _, name = pod.workload.partition("/")
                pods[pod.namespace, workload_kind, name] += 1
                meshed[pod.namespace, workload_kind, name] += pod.meshed
        for service in self._store.all(Service):
            row = (service.namespace, "service", service.name)
            behind = self._behind(service)
            pods[row] = len(behind)
            meshed[row] = sum(pod.meshed for pod in behind)
        return [
            Subject(*row, pods=count, meshed_pods=meshed[row])
            for row, count in pods.items()
            if namespace in ("", row[0]) and kind in ("", row[1])
        ]

    def _behind(self, service: Service) -> list[Pod]:
        keys: set[Key] = {e.pod for piece in self._store.slices(service.key) for e in piece.endpoints if e.pod}
        found = [self._store.get(Pod, key) for key in keys]
        return [pod for pod in found if pod is not None and not pod.finished]


def _peer(pod: Pod | None) -> Peer | None:
    return Peer(pod.workload, pod.namespace, pod.meshed) if pod else None
