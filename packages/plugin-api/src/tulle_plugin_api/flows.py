"""Flows: exchanges counted by where they went and how they ended, for exporters that count.

Owns which labels there are, hence how many series there can be, and their bound. Refuses to know any format: an
exporter says how labels are written (`write`), once a series, and reads the counts when it is time to tell them.

A pod is never a label: pods come and go for ever, and each pod's own proxy counts for it anyway (whoever collects
adds its name). Neither is anything that a client chooses, such as a path or a method.

An exchange costs one look-up by a tuple and a few additions of plain numbers. The number of series is bounded: a
mesh that comes across ever new names counts the rest together, in series whose labels read "overflow", and counts how
often that happened.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from tulle_plugin_api.exchange import Direction, Exchange
from tulle_plugin_api.latency import BUCKET_COUNT, LATENCY_BUCKETS

MAX_SERIES = 1000
OVERFLOW = "overflow"

LABELS = (
    "direction",
    "service",
    "service_namespace",
    "route",
    "backend",
    "peer_namespace",
    "peer_workload",
    "tls",
)
"""A flow's labels, in this order."""

Labels: TypeAlias = Mapping[str, str]
T = TypeVar("T")

# the part of a SPIFFE id that identifies a Kubernetes service account
_SPIFFE = re.compile(r"spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)")


class Flow(Generic[T]):
    """Requests that went one way: from here to one workload, by one service, route and backend; or in, from a peer."""

    __slots__ = ("attempts", "buckets", "labels", "request_bytes", "response_bytes", "seconds", "written")

    def __init__(self, labels: Labels, written: T) -> None:
        self.labels = labels
        self.written = written
        self.buckets = [0] * BUCKET_COUNT  # of durations, see latency.py
        self.seconds = 0.0
        self.attempts = self.request_bytes = self.response_bytes = 0


class Outcome(Generic[T]):
    """Requests of one flow that ended in one way. Its labels are the flow's, `status` and `reason`."""

    __slots__ = ("count", "flow", "reason", "status", "written")

    def __init__(self, flow: Flow[T], status: str, reason: str, written: T) -> None:
        self.flow, self.status, self.reason, self.written = flow, status, reason, written
        self.count = 0

    @property
    def labels(self) -> Labels:
        """The flow's, and how it ended."""
        return {**self.flow.labels, "status": self.status, "reason": self.reason}


class Connections(Generic[T]):
    """Relayed connections of one flow."""

    __slots__ = ("closed", "labels", "open", "opened", "received_bytes", "sent_bytes", "written")

    def __init__(self, labels: Labels, written: T) -> None:
        self.labels = labels
        self.written = written
        self.opened = self.open = self.sent_bytes = self.received_bytes = 0  # bytes: of closed ones
        self.closed: dict[str, int] = {}  # by reason


class Flows(Generic[T]):
    """Counts. An exporter calls `observe` and `opened` from its own, and reads when it tells."""

    def __init__(self, write: Callable[[Labels], T], max_series: int = MAX_SERIES) -> None:
        """`write`: how labels are kept for writing, called once a series.

        `max_series`: flows, outcomes and connections' flows together, at most.
        """
        self._write = write
        self._max_series = max_series
        self._flows: dict[tuple[str, ...], Flow[T]] = {}  # by labels' values
        self._by_key: dict[tuple[object, ...], Outcome[T]] = {}  # by what is seen; several may have the same labels
        self._outcomes: dict[tuple[object, ...], Outcome[T]] = {}  # by labels' values
        self._connections: dict[tuple[str, ...], Connections[T]] = {}
        self._open: dict[Exchange, Connections[T]] = {}
        self.overflows = 0

    # --- the hot path ----------------------------------------------------------------------------------

    def observe(self, exchange: Exchange) -> Flow[T] | None:
        """Count a request that ended, or a connection that closed. The request's flow; None for a connection."""
        if exchange.protocol == "tcp":
            self._closed(exchange)
            return None
        key = _key(exchange)
        outcome = self._by_key.get(key)
        if outcome is None:
            outcome = self._new_outcome(key, exchange)
        _count(outcome, exchange)
        return outcome.flow

    def observer(self, like: Exchange) -> Callable[[Exchange], object]:
        """`observe`, for exchanges of the same kind as `like`: without looking up their series."""
        key = _key(like)
        if like.protocol == "tcp" or (self._full() and key not in self._by_key):
            return self.observe  # of what counts as overflow, each one is counted
        return partial(_count, self._by_key.get(key) or self._new_outcome(key, like))

    def opened(self, exchange: Exchange) -> None:
        """Count a connection, and follow its bytes until it closes."""
        connections = self._open[exchange] = self._connections_of(exchange)
        connections.opened += 1
        connections.open += 1

    def _closed(self, exchange: Exchange) -> None:
        # what is known of it may have grown meanwhile: it counts where it was counted when it opened
        connections = self._open.pop(exchange, None)
        if connections is not None:
            connections.open -= 1
        else:  # it never opened: nobody answered
            connections = self._connections_of(exchange)
        reason = reason_of(exchange)
        connections.closed[reason] = connections.closed.get(reason, 0) + 1
        connections.sent_bytes += exchange.request_bytes
        connections.received_bytes += exchange.response_bytes

    # --- new series: rare, so in no hurry --------------------------------------------------------------

    def _new_outcome(self, key: tuple[object, ...], exchange: Exchange) -> Outcome[T]:
        values, status, reason = _values(exchange), str(exchange.status), reason_of(exchange)
        if self._full():
            self.overflows += 1
            values, status, reason = _overflow(exchange.direction), OVERFLOW, OVERFLOW
            key = (exchange.direction,)
        ended = (values, status, reason)
        outcome = self._outcomes.get(ended)
        if outcome is None:
            flow = self._flows.get(values)
            if flow is None:
                labels = dict(zip(LABELS, values, strict=True))
                flow = self._flows[values] = Flow(labels, self._write(labels))
            written = self._write({**flow.labels, "status": status, "reason": reason})
            outcome = self._outcomes[ended] = Outcome(flow, status, reason, written)
        self._by_key[key] = outcome
        return outcome

    def _connections_of(self, exchange: Exchange) -> Connections[T]:
        values = _values(exchange)
        if values not in self._connections and self._full():
            self.overflows += 1
            values = _overflow(exchange.direction)
        connections = self._connections.get(values)
        if connections is None:
            labels = dict(zip(LABELS, values, strict=True))
            connections = self._connections[values] = Connections(labels, self._write(labels))
        return connections

    def _full(self) -> bool:
        return len(self._flows) + len(self._by_key) + len(self._connections) >= self._max_series

    # --- reading ---------------------------------------------------------------------------------------

    def flows(self) -> list[Flow[T]]:
        """Every flow of requests, in the order they came up; `written` is what `write` made of its labels."""
        return list(self._flows.values())

    def outcomes(self) -> list[Outcome[T]]:
        """Every flow's outcomes."""
        return list(self._outcomes.values())

    def connections(self) -> list[tuple[Connections[T], int, int]]:
        """Every flow of relayed connections, with bytes sent and received: of those still open, too."""
        sent = {id(one): one.sent_bytes for one in self._connections.values()}
        received = {id(one): one.received_bytes for one in self._connections.values()}
        for exchange, one in self._open.items():
            sent[id(one)] += exchange.request_bytes
            received[id(one)] += exchange.response_bytes
        return [(one, sent[id(one)], received[id(one)]) for one in self._connections.values()]


def _key(exchange: Exchange) -> tuple[object, ...]:
    """All that labels depend on; each of it is in `kinds.kind`, or follows from it."""
    service, endpoint = exchange.service, exchange.endpoint
    return (
        exchange.status,
        exchange.reason,
        exchange.aborted,
        exchange.direction,
        service.authority if service is not None else None,  # says its name and namespace
        exchange.route,
        exchange.backend,
        endpoint.workload if endpoint is not None else None,
        endpoint.namespace if endpoint is not None else None,
        exchange.source_identity,
        exchange.secured,
    )


def _count(outcome: Outcome[T], exchange: Exchange) -> None:
    flow = outcome.flow
    seconds = exchange.ended - exchange.started
    if seconds < 0.0:  # `max` would take ten times as long
        seconds = 0.0
    outcome.count += 1
    flow.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
    flow.seconds += seconds
    flow.attempts += exchange.attempts
    flow.request_bytes += exchange.request_bytes
    flow.response_bytes += exchange.response_bytes


def _values(exchange: Exchange) -> tuple[str, ...]:
    """The values of the labels of the flow that an exchange belongs to."""
    service = exchange.service
    namespace, workload = peer(exchange)
    return (
        exchange.direction,
        service.name if service else "",
        service.namespace if service else "",
        exchange.route,
        exchange.backend,
        namespace,
        workload,
        "true" if exchange.secured else "false",
    )


def _overflow(direction: Direction) -> tuple[str, ...]:
    """Of everything that came after the last series there was room for."""
    return (direction, *(OVERFLOW,) * (len(LABELS) - 1))


def reason_of(exchange: Exchange) -> str:
    """The slug that says why an exchange did not end in good order, or nothing."""
    return exchange.reason or ("aborted" if exchange.aborted else "")


def peer(exchange: Exchange) -> tuple[str, str]:
    """Namespace and workload at the other end, as far as known: inbound, only what mutual TLS proved."""
    if exchange.direction == "outbound":
        endpoint = exchange.endpoint
        return (endpoint.namespace, endpoint.workload) if endpoint else ("", "")
    match = _SPIFFE.fullmatch(exchange.source_identity)
    return (match[1], f"serviceaccount/{match[2]}") if match else ("", "")


# --- the proxy's own counters ----------------------------------------------------------------------------------

# "tulle_proxy_accepted_total", or with labels: 'tulle_proxy_accepted_total{direction="inbound"}'
_OWN = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="[^"\\\n]*",?)+)\})?')
_OWN_LABEL = re.compile(r'([a-zA-Z_]\w*)="([^"]*)"')


def own(counters: Mapping[str, float]) -> Iterator[tuple[str, Labels, float]]:
    """(name, labels, value) of `ExporterContext.counters()`. A name that cannot be read is left out."""
    for text, value in counters.items():
        match = _OWN.fullmatch(text)
        if match:
            yield match[1], dict(_OWN_LABEL.findall(match[2] or "")), value
