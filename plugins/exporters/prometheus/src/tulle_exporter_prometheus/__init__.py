"""Prometheus: what happened to requests and connections, counted, and written out for `GET /metrics`.

Owns the metrics' names. Refuses to know the text format (exposition.py); counting, labels and their bound are
`tulle_plugin_api.flows`. A request costs what counting costs; all formatting waits for the scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tulle_plugin_api import Exchange, Exporter, ExporterContext, ExporterFactory, hookimpl
from tulle_plugin_api.flows import MAX_SERIES, Flows, own
from tulle_plugin_api.latency import LATENCY_BUCKETS
from tulle_plugin_api.options import Options

from tulle_exporter_prometheus import process
from tulle_exporter_prometheus.exposition import Page, label_text


class Prometheus(Exporter):
    """Counts, and answers scrapes. Option `max_series`: flows, outcomes and connections' flows together, at most."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = Options(context.options)
        self._flows = Flows(label_text, options.whole("max_series", MAX_SERIES))
        options.done()
        self._context = context

    def observe(self, exchange: Exchange) -> None:
        """Count a request that ended, or a connection that closed."""
        self._flows.observe(exchange)

    def observer(self, like: Exchange) -> Callable[[Exchange], object]:
        """Of exchanges like this one: their series are looked up once."""
        return self._flows.observer(like)

    def opened(self, exchange: Exchange) -> None:
        """Count a connection, and follow its bytes until it closes."""
        self._flows.opened(exchange)

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
        flows = self._flows.flows()
        page.counter(
            "tulle_http_requests_total",
            "Requests that ended, by status sent to the client (0: none was); reason: why, where the proxy answered.",
            [(outcome.written, outcome.count) for outcome in self._flows.outcomes()],
        )
        page.histogram(
            "tulle_http_request_duration_seconds",
            "From the request's head to the last byte of its answer.",
            LATENCY_BUCKETS,
            [(flow.written, flow.buckets, flow.seconds) for flow in flows],
        )
        page.counter(
            "tulle_http_attempts_total",
            "Tries sent to an endpoint: more than requests where some were retried.",
            [(flow.written, flow.attempts) for flow in flows],
        )
        page.counter(
            "tulle_http_request_bytes_total",
            "Bytes of requests' bodies.",
            [(flow.written, flow.request_bytes) for flow in flows],
        )
        page.counter(
            "tulle_http_response_bytes_total",
            "Bytes of answers' bodies.",
            [(flow.written, flow.response_bytes) for flow in flows],
        )

    def _write_tcp(self, page: Page) -> None:
        connections = self._flows.connections()
        page.counter(
            "tulle_tcp_connections_opened_total",
            "Relayed connections that were opened.",
            [(one.written, one.opened) for one, _, _ in connections],
        )
        page.counter(
            "tulle_tcp_connections_closed_total",
            "Relayed connections that ended, or that nobody answered; reason: why, where not in good order.",
            [
                (f"{one.written},{label_text({'reason': reason})}", count)
                for one, _, _ in connections
                for reason, count in one.closed.items()
            ],
        )
        page.gauge(
            "tulle_tcp_connections_open",
            "Relayed connections that are open now.",
            [(one.written, one.open) for one, _, _ in connections],
        )
        page.counter(
            "tulle_tcp_sent_bytes_total",
            "Bytes relayed from client to server.",
            [(one.written, sent) for one, sent, _ in connections],
        )
        page.counter(
            "tulle_tcp_received_bytes_total",
            "Bytes relayed from server to client.",
            [(one.written, received) for one, _, received in connections],
        )

    def _write_proxy(self, page: Page) -> None:
        context = self._context
        who = {"version": context.version, "workload": context.workload, "node": context.node}
        page.gauge("tulle_proxy_info", "Who this proxy is; always 1.", [(label_text(who), 1)])
        page.counter(
            "tulle_exporter_prometheus_overflows_total",
            "Times that something was counted as overflow, since max_series was reached.",
            [("", self._flows.overflows)],
        )
        families: dict[str, list[tuple[str, float]]] = {}
        for name, labels, value in own(context.counters()):
            families.setdefault(name, []).append((label_text(labels), value))
        for name, rows in families.items():
            words = name.removeprefix("tulle_proxy_").removesuffix("_total").replace("_", " ")
            write = page.counter if name.endswith("_total") else page.gauge
            write(name, f"The proxy itself: {words}.", rows)


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `prometheus`."""
    return {"prometheus": Prometheus}
