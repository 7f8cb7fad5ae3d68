"""Telemetry for the control plane: adds up what this proxy sees, and hands over the additions.

Owns the series. Pure but for the counters: shell/reporting.py sends what `take` gives. The control plane answers
`tulle stat` and `tulle edges` from it, with no other system installed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from tulle_api.v1 import telemetry_pb2 as pb
from tulle_plugin_api import Endpoint, Exchange, Service
from tulle_plugin_api.latency import BUCKET_COUNT, LATENCY_BUCKETS

from tulle_data_plane.layers.probe import PROBE_ROUTE

MAX_SERIES = 2000
"""Series kept between two reports; more are added up under no peer, so that totals stay right."""

DIRECTIONS = {"inbound": pb.DIRECTION_INBOUND, "outbound": pb.DIRECTION_OUTBOUND}

Key = tuple[object, ...]
"""What tells series apart. Only strings, numbers and tuples of them, whose hashes cost no call in Python."""


class Edge(NamedTuple):
    """Who talked to whom, as reports say it."""

    direction: str
    peer: Endpoint | str | None = None  # inbound: an address
    service: Service | None = None
    route: str = ""
    backend: str = ""
    secured: bool = False


class Requests:
    """HTTP requests over one edge that ended in one way."""

    __slots__ = ("buckets", "count", "edge", "failures", "reason", "request_bytes", "response_bytes", "seconds",
                 "status")  # fmt: skip

    def __init__(self, edge: Edge, status: int, reason: str) -> None:
        self.edge, self.status, self.reason = edge, status, reason
        self.buckets = [0] * BUCKET_COUNT
        self.count = self.failures = self.request_bytes = self.response_bytes = 0
        self.seconds = 0.0  # all latencies together


class Connections:
    """Relayed connections over one edge. `open` lasts; the rest is since the last report."""

    __slots__ = ("closed", "edge", "failed", "open", "opened", "received", "sent")

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.open = 0
        self.clear()

    def clear(self) -> None:
        """A report has been made."""
        self.opened = self.closed = self.failed = self.sent = self.received = 0


S = TypeVar("S")


class Telemetry:
    """Observes exchanges. Counters are plain ints: this is on the hot path."""

    def __init__(self) -> None:
        self._http: dict[Key, Requests] = {}
        self._tcp: dict[Key, Connections] = {}

    def observe(self, exchange: Exchange) -> None:
        """An exchange ended."""
        if exchange.route == PROBE_ROUTE:
            return
        if exchange.protocol == "tcp":
            self._closed(exchange)
            return
        key = _http_key(exchange)
        _count(self._http.get(key) or self._new_requests(key, exchange), exchange)

    def observer(self, like: Exchange) -> Callable[[Exchange], None]:
        """`observe`, for exchanges of the same kind as `like` (tulle_plugin_api.kinds): their row is looked up once."""
        if like.protocol == "tcp" or like.route == PROBE_ROUTE or _from_outside(like):
            return self.observe
        key, series = _http_key(like), self._http
        row: Requests | None = None

        def alike(exchange: Exchange) -> None:
            nonlocal series, row
            if row is None or series is not self._http:  # the first, or a report has been made and rows begin anew
                series = self._http
                row = series.get(key) or self._new_requests(key, exchange)
            _count(row, exchange)

        return alike

    def _new_requests(self, key: Key, exchange: Exchange) -> Requests:
        make = partial(Requests, status=exchange.status, reason=exchange.reason)
        return self._new(self._http, key, exchange, make)

    def opened(self, exchange: Exchange) -> None:
        """A relayed connection opened."""
        row = self._connections(exchange)
        row.opened += 1
        row.open += 1

    def _closed(self, exchange: Exchange) -> None:
        row = self._connections(exchange)
        row.closed += 1
        row.failed += exchange.failed
        row.sent += exchange.request_bytes
        row.received += exchange.response_bytes
        row.open -= row.open > 0

    def _connections(self, exchange: Exchange) -> Connections:
        edge = _edge(exchange)
        peer = (edge.peer.address, edge.peer.pod) if isinstance(edge.peer, Endpoint) else edge.peer
        key: Key = (edge.direction, peer, *edge[2:])
        return self._tcp.get(key) or self._new(self._tcp, key, exchange, Connections)

    @staticmethod
    def _new(series: dict[Key, S], key: Key, exchange: Exchange, make: Callable[[Edge], S]) -> S:
        """A row for a key that has none: its own, or, when there are too many, that of no peer."""
        if len(series) < MAX_SERIES:
            return series.setdefault(key, make(_edge(exchange)))
        crowded: Key = (exchange.status, exchange.reason, exchange.direction)
        return series.setdefault(crowded, make(Edge(exchange.direction)))

    def take(self, interval_ms: int) -> pb.ReportRequest:
        """The additions since the last call, which they are cleared by."""
        http, self._http = self._http, {}
        report = pb.ReportRequest(interval_ms=interval_ms)
        for row in http.values():
            report.http.add(
                edge=_edge_message(row.edge),
                status=row.status,
                reason=row.reason,
                requests=row.count,
                failures=row.failures,
                latency_sum_us=round(row.seconds * 1e6),
                request_bytes=row.request_bytes,
                response_bytes=row.response_bytes,
                latency_buckets=row.buckets,
            )
        for key, connections in list(self._tcp.items()):
            report.tcp.add(
                edge=_edge_message(connections.edge),
                opened=connections.opened,
                closed=connections.closed,
                failed=connections.failed,
                sent_bytes=connections.sent,
                received_bytes=connections.received,
                open_connections=connections.open,
            )
            connections.clear()
            if not connections.open:
                del self._tcp[key]
        return report


def _from_outside(exchange: Exchange) -> bool:
    """Is its peer the client, whose address is no part of its kind?"""
    return exchange.endpoint is None or exchange.direction == "inbound"


def _http_key(exchange: Exchange) -> Key:
    """As _edge, flat, and how it ended."""
    endpoint, service = exchange.endpoint, exchange.service
    inbound = endpoint is None or exchange.direction == "inbound"
    return (
        exchange.status,
        exchange.reason,
        exchange.direction,
        exchange.source.ip if inbound else endpoint.address,  # type: ignore[union-attr]
        None if inbound else endpoint.pod,  # type: ignore[union-attr]
        service.authority if service is not None else None,
        exchange.route,
        exchange.backend,
        exchange.secured,
    )


def _count(row: Requests, exchange: Exchange) -> None:
    status, seconds = exchange.status, exchange.ended - exchange.started
    row.count += 1
    if status >= 500 or status == 0 or exchange.aborted:  # Exchange.failed
        row.failures += 1
    row.seconds += seconds
    row.request_bytes += exchange.request_bytes
    row.response_bytes += exchange.response_bytes
    row.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1


def _edge(exchange: Exchange) -> Edge:
    return Edge(
        exchange.direction,
        exchange.endpoint if exchange.direction == "outbound" else exchange.source.ip,
        exchange.service,
        exchange.route,
        exchange.backend,
        exchange.secured,
    )


def _edge_message(edge: Edge) -> pb.Edge:
    direction, peer, service, route, backend, secured = edge
    message = pb.Edge(direction=DIRECTIONS[direction], route=route, backend=backend, secured=secured)
    if isinstance(peer, str):
        message.peer_pod = peer  # its address; the control plane knows whose it is
    elif isinstance(peer, Endpoint):
        message.peer_pod = peer.pod or peer.address.ip
        message.peer_namespace = peer.namespace
        message.peer_workload = peer.workload
    if service is not None:
        message.service = service.name
        message.service_namespace = service.namespace
        message.service_port = service.port
    return message
