"""Prometheus: what happened to requests and connections, counted, and written out for `GET /metrics`.

Owns the counting and the metrics' names. Refuses to know the text format (exposition.py) and labels (series.py).

A request costs one look-up by a tuple and a few additions of plain numbers; all formatting waits for the scrape.
The number of label sets is bounded: a mesh that comes across ever new names counts the rest together, in series
whose labels read "overflow", and counts how often that happened.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

from tulle_plugin_api import Exchange, Exporter, ExporterContext, ExporterFactory, hookimpl
from tulle_plugin_api.latency import LATENCY_BUCKETS

from tulle_exporter_prometheus import process
from tulle_exporter_prometheus.exposition import Page, label_text
from tulle_exporter_prometheus.series import (
    OVERFLOW,
    Connections,
    Flow,
    Outcome,
    flow_labels,
    overflow_labels,
    reason_of,
)

MAX_SERIES = 1000

# "tulle_proxy_accepted_total", or with labels: 'tulle_proxy_accepted_total{direction="inbound"}'
_OWN_COUNTER = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="[^"\\\n]*",?)+)\})?')


class Prometheus(Exporter):
    """Counts, and answers scrapes. Option `max_series`: flows, outcomes and connections' flows together, at most."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = dict(context.options)
        self._max_series = _whole_number("max_series", options.pop("max_series", str(MAX_SERIES)))
        if options:
            raise ValueError(f"unknown option {', '.join(map(repr, options))}; there is 'max_series'")
        self._context = context
        self._flows: dict[str, Flow] = {}  # by labels
        self._outcomes: dict[tuple[object, ...], Outcome] = {}
        self._connections: dict[str, Connections] = {}  # by labels
        self._open: dict[Exchange, Connections] = {}
        self._overflows = 0

    # --- the hot path ----------------------------------------------------------------------------------

    def observe(self, exchange: Exchange) -> None:
        """Count a request that ended, or a connection that closed."""
        if exchange.protocol == "tcp":
            self._closed(exchange)
            return
        service, endpoint = exchange.service, exchange.endpoint
        key = (
            exchange.status,
            exchange.reason,
            exchange.aborted,
            exchange.direction,
            service and service.authority,  # says its name and namespace
            exchange.route,
            exchange.backend,
            endpoint and endpoint.workload,
            endpoint and endpoint.namespace,
            exchange.source_identity,
            exchange.secured,
        )
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = self._new_outcome(key, exchange)
        flow = outcome.flow
        seconds = max(0.0, exchange.ended - exchange.started)
        outcome.count += 1
        flow.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        flow.seconds += seconds
        flow.attempts += exchange.attempts
        flow.request_bytes += exchange.request_bytes
        flow.response_bytes += exchange.response_bytes

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

    def _new_outcome(self, key: tuple[object, ...], exchange: Exchange) -> Outcome:
        labels, status, reason = flow_labels(exchange), str(exchange.status), reason_of(exchange)
        if self._full():
            self._overflows += 1
            labels, status, reason = overflow_labels(exchange.direction), OVERFLOW, OVERFLOW
            key = (exchange.direction,)
        if key not in self._outcomes:
            self._outcomes[key] = Outcome(self._flows.setdefault(labels, Flow(labels)), status, reason)
        return self._outcomes[key]

    def _connections_of(self, exchange: Exchange) -> Connections:
        labels = flow_labels(exchange)
        if labels not in self._connections and self._full():
            self._overflows += 1
            labels = overflow_labels(exchange.direction)
        return self._connections.setdefault(labels, Connections(labels))

    def _full(self) -> bool:
        return len(self._flows) + len(self._outcomes) + len(self._connections) >= self._max_series

    # --- the scrape ------------------------------------------------------------------------------------

    def collect(self) -> bytes:
        """Everything counted, in the text format 0.0.4."""
        page = Page()
        self._write_http(page)
        self._write_tcp(page)
        self._write_proxy(page)
        process.write(page)
        return page.text()

    def _write_http(self, page: Page) -> None:
        flows = self._flows.values()
        page.counter(
            "tulle_http_requests_total",
            "Requests that ended, by status sent to the client (0: none was); reason: why, where the proxy answered.",
            [(outcome.labels, outcome.count) for outcome in self._outcomes.values()],
        )
        page.histogram(
            "tulle_http_request_duration_seconds",
            "From the request's head to the last byte of its answer.",
            LATENCY_BUCKETS,
            [(flow.labels, flow.buckets, flow.seconds) for flow in flows],
        )
        page.counter(
            "tulle_http_attempts_total",
            "Tries sent to an endpoint: more than requests where some were retried.",
            [(flow.labels, flow.attempts) for flow in flows],
        )
        page.counter(
            "tulle_http_request_bytes_total",
            "Bytes of requests' bodies.",
            [(flow.labels, flow.request_bytes) for flow in flows],
        )
        page.counter(
            "tulle_http_response_bytes_total",
            "Bytes of answers' bodies.",
            [(flow.labels, flow.response_bytes) for flow in flows],
        )

    def _write_tcp(self, page: Page) -> None:
        all_connections = self._connections.values()
        sent = {connections.labels: connections.sent_bytes for connections in all_connections}
        received = {connections.labels: connections.received_bytes for connections in all_connections}
        for exchange, connections in self._open.items():  # what those still open have carried so far
            sent[connections.labels] += exchange.request_bytes
            received[connections.labels] += exchange.response_bytes
        page.counter(
            "tulle_tcp_connections_opened_total",
            "Relayed connections that were opened.",
            [(connections.labels, connections.opened) for connections in all_connections],
        )
        page.counter(
            "tulle_tcp_connections_closed_total",
            "Relayed connections that ended, or that nobody answered; reason: why, where not in good order.",
            [
                (f"{connections.labels},{label_text({'reason': reason})}", count)
                for connections in all_connections
                for reason, count in connections.closed.items()
            ],
        )
        page.gauge(
            "tulle_tcp_connections_open",
            "Relayed connections that are open now.",
            [(connections.labels, connections.open) for connections in all_connections],
        )
        page.counter("tulle_tcp_sent_bytes_total", "Bytes relayed from client to server.", sent.items())
        page.counter("tulle_tcp_received_bytes_total", "Bytes relayed from server to client.", received.items())

    def _write_proxy(self, page: Page) -> None:
        context = self._context
        who = {"version": context.version, "workload": context.workload, "node": context.node}
        page.gauge("tulle_proxy_info", "Who this proxy is; always 1.", [(label_text(who), 1)])
        page.counter(
            "tulle_exporter_prometheus_overflows_total",
            "Times that something was counted as overflow, since max_series was reached.",
            [("", self._overflows)],
        )
        families: dict[str, list[tuple[str, float]]] = {}
        for name, value in context.counters().items():
            match = _OWN_COUNTER.fullmatch(name)
            if match:  # a name that Prometheus could not read must not cost the whole page
                families.setdefault(match[1], []).append((match[2] or "", value))
        for name, rows in families.items():
            words = name.removeprefix("tulle_proxy_").removesuffix("_total").replace("_", " ")
            write = page.counter if name.endswith("_total") else page.gauge
            write(name, f"The proxy itself: {words}.", rows)


def _whole_number(option: str, text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise ValueError(f"{option}: expected a whole number from 1, such as {MAX_SERIES}, got {text!r}")
    return int(text)


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `prometheus`."""
    return {"prometheus": Prometheus}
