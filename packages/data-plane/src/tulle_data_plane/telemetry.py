"""Telemetry for the control plane: adds up what this proxy sees, and hands over the additions.

Owns the series. Pure but for the counters: shell/reporting.py sends what `take` gives. The control plane answers
`tulle stat` and `tulle edges` from it, with no other system installed.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

from tulle_api.v1 import telemetry_pb2 as pb
from tulle_plugin_api import Endpoint, Exchange
from tulle_plugin_api.latency import BUCKET_COUNT, bucket

from tulle_data_plane.layers.probe import PROBE_ROUTE

MAX_SERIES = 2000
"""Series kept between two reports; more are added up under no peer, so that totals stay right."""

DIRECTIONS = {"inbound": pb.DIRECTION_INBOUND, "outbound": pb.DIRECTION_OUTBOUND}

Edge = tuple[Any, ...]  # direction, peer, service, route, backend, secured
HttpKey = tuple[Edge, int, str]  # edge, status, reason


CROWDED: Edge = (None, None, "", "", False)
"""The rest of an edge, after its direction, for what no longer gets a series of its own."""

K = TypeVar("K", bound=Hashable)


class Telemetry:
    """Observes exchanges. Counters are plain ints in lists: this is on the hot path."""

    def __init__(self) -> None:
        self._http: dict[HttpKey, list[int]] = {}  # requests, failures, us, bytes up, bytes down, buckets...
        self._tcp: dict[Edge, list[int]] = {}  # opened, closed, failed, sent, received
        self._open: dict[Edge, int] = {}  # open connections, never reset

    def observe(self, exchange: Exchange) -> None:
        """An exchange ended."""
        if exchange.route == PROBE_ROUTE:
            return
        edge = self._edge(exchange)
        if exchange.protocol == "tcp":
            self._closed(edge, exchange)
            return
        key = (edge, exchange.status, exchange.reason)
        row = self._http.get(key)
        if row is None:
            crowded = ((exchange.direction, *CROWDED), exchange.status, exchange.reason)
            row = self._new(self._http, key, crowded, 5 + BUCKET_COUNT)
        seconds = exchange.ended - exchange.started
        row[0] += 1
        if exchange.failed:
            row[1] += 1
        row[2] += int(seconds * 1e6)
        row[3] += exchange.request_bytes
        row[4] += exchange.response_bytes
        row[5 + bucket(seconds)] += 1

    def opened(self, exchange: Exchange) -> None:
        """A relayed connection opened."""
        edge = self._edge(exchange)
        self._tcp_row(edge)[0] += 1
        self._open[edge] = self._open.get(edge, 0) + 1

    def _closed(self, edge: Edge, exchange: Exchange) -> None:
        row = self._tcp_row(edge)
        row[1] += 1
        row[2] += exchange.failed
        row[3] += exchange.request_bytes
        row[4] += exchange.response_bytes
        left = self._open.get(edge, 0) - 1
        if left > 0:
            self._open[edge] = left
        else:
            self._open.pop(edge, None)

    def _tcp_row(self, edge: Edge) -> list[int]:
        row = self._tcp.get(edge)
        return row if row is not None else self._new(self._tcp, edge, (edge[0], *CROWDED), 5)

    @staticmethod
    def _edge(exchange: Exchange) -> Edge:
        return (
            exchange.direction,
            exchange.endpoint if exchange.direction == "outbound" else exchange.source.ip,
            exchange.service,
            exchange.route,
            exchange.backend,
            exchange.secured,
        )

    @staticmethod
    def _new(series: dict[K, list[int]], key: K, crowded: K, width: int) -> list[int]:
        """A row for a key that has none: its own, or `crowded`'s when there are too many."""
        return series.setdefault(key if len(series) < MAX_SERIES else crowded, [0] * width)

    def take(self, interval_ms: int) -> pb.ReportRequest:
        """The additions since the last call, which they are cleared by."""
        http, self._http = self._http, {}
        tcp, self._tcp = self._tcp, {}
        report = pb.ReportRequest(interval_ms=interval_ms)
        for (edge, status, reason), row in http.items():
            report.http.add(
                edge=_edge_message(edge),
                status=status,
                reason=reason,
                requests=row[0],
                failures=row[1],
                latency_sum_us=row[2],
                request_bytes=row[3],
                response_bytes=row[4],
                latency_buckets=row[5:],
            )
        for edge in {**tcp, **dict.fromkeys(self._open)}:
            counts = tcp.get(edge) or [0] * 5
            report.tcp.add(
                edge=_edge_message(edge),
                opened=counts[0],
                closed=counts[1],
                failed=counts[2],
                sent_bytes=counts[3],
                received_bytes=counts[4],
                open_connections=self._open.get(edge, 0),
            )
        return report


def _edge_message(edge: Edge) -> pb.Edge:
    direction, peer, service, route, backend, secured = edge
    message = pb.Edge(direction=DIRECTIONS[str(direction)], route=route, backend=backend, secured=secured)
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
