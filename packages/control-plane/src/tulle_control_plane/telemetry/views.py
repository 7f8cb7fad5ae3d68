"""Rows of `tulle stat`, of its backends, and of `tulle edges`.

Owns which side's count is read, so that each request counts once:
- what a workload *served* is what its own proxies counted, and for pods without a proxy what their clients did;
- what a Service's clients *saw*, and who called whom, is what the clients' proxies counted, and for clients without
  one what the servers' did;
- what they saw of each of its *backends* is what their proxies counted: clients without one take no route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from tulle_control_plane.telemetry.figures import Counts, figures
from tulle_control_plane.telemetry.traffic import SeriesKey, Traffic
from tulle_control_plane.telemetry.windows import span

Row: TypeAlias = dict[str, Any]
_RowKey: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that gets a row, traffic or not: a workload or a Service, and its pods."""

    namespace: str
    kind: str
    name: str
    pods: int = 0
    meshed_pods: int = 0


def stat(traffic: Traffic, subjects: Iterable[Subject], window: float, now: float) -> list[Row]:
    """A row for each subject, sorted by namespace, kind and name. Raises ValueError for a bad window."""
    stretch = span(window, now, traffic.started)
    counts = _counts(traffic.read(stretch), _subjects_of)
    connections = _connections(traffic.open_connections(), _subjects_of)
    rows = []
    for subject in sorted(subjects, key=lambda s: (s.namespace, s.kind, s.name)):
        key = (subject.namespace, subject.kind, subject.name)
        rows.append(
            {
                "namespace": subject.namespace,
                "kind": subject.kind,
                "name": subject.name,
                "meshed": f"{subject.meshed_pods}/{subject.pods}",
                "pods": subject.pods,
                "meshed_pods": subject.meshed_pods,
                **asdict(figures(counts.get(key, Counts()), stretch.seconds, connections.get(key, 0))),
            }
        )
    return rows


def edges(traffic: Traffic, namespace: str, window: float, now: float) -> list[Row]:
    """A row for each pair that talked, sorted; of one namespace at either end, or all for "". Raises ValueError."""
    stretch = span(window, now, traffic.started)
    counts = _counts(traffic.read(stretch), _edges_of)
    connections = _connections(traffic.open_connections(), _edges_of)
    rows = []
    for key in sorted(set(counts) | set(connections)):
        src_namespace, src, dst_namespace, dst, service, secured = key
        if namespace and namespace not in (src_namespace, dst_namespace):
            continue
        read = asdict(figures(counts.get(key, Counts()), stretch.seconds, connections.get(key, 0)))
        rows.append(
            {
                "src": src,
                "src_namespace": src_namespace,
                "dst": dst,
                "dst_namespace": dst_namespace,
                "service": service,
                "secured": secured,
                **read,
                "p50": read["latency_p50"],
                "p99": read["latency_p99"],
            }
        )
    return rows


def backends(traffic: Traffic, namespace: str, service: str, window: float, now: float) -> list[Row]:
    """A row for each backend that a Service's callers were sent to, sorted. Raises ValueError.

    `namespace` and `service` are those of the Service that was called, or "" for all. A request counts for the backend
    that was chosen for it, also when none of its endpoints was reached. `failures` is the exact count: a canary is
    judged by it.
    """
    stretch = span(window, now, traffic.started)
    counts = _counts(traffic.read(stretch), _backends_of)
    return [
        {
            "namespace": key[0],
            "service": key[1],
            "backend": key[2],
            "failures": found.failures,
            **asdict(figures(found, stretch.seconds)),
        }
        for key, found in sorted(counts.items())
        if namespace in ("", key[0]) and service in ("", key[1]) and found.requests
    ]


def _clients_view(key: SeriesKey) -> bool:
    return key.by_client or not key.client.meshed


def _servers_view(key: SeriesKey) -> bool:
    return not key.by_client or not key.server.meshed


def _subjects_of(key: SeriesKey) -> Iterator[_RowKey]:
    kind, slash, name = key.server.workload.partition("/")
    if slash and key.server.known and _servers_view(key):
        yield key.server.namespace, kind, name
    if key.service and _clients_view(key):
        yield key.service_namespace, "service", key.service


def _edges_of(key: SeriesKey) -> Iterator[_RowKey]:
    if _clients_view(key):
        client, server = key.client, key.server
        yield client.namespace, client.workload, server.namespace, server.workload, key.service, key.secured


def _backends_of(key: SeriesKey) -> Iterator[_RowKey]:
    if key.by_client and key.backend:
        yield key.service_namespace, key.service, key.backend


_Rows: TypeAlias = Callable[[SeriesKey], Iterator[_RowKey]]


def _counts(series: Mapping[SeriesKey, Counts], rows: _Rows) -> dict[_RowKey, Counts]:
    total: dict[_RowKey, Counts] = {}
    for key, counts in series.items():
        for row in rows(key):
            total.setdefault(row, Counts()).merge(counts)
    return total


def _connections(series: Mapping[SeriesKey, int], rows: _Rows) -> dict[_RowKey, int]:
    total: dict[_RowKey, int] = {}
    for key, connections in series.items():
        for row in rows(key):
            total[row] = total.get(row, 0) + connections
    return total
