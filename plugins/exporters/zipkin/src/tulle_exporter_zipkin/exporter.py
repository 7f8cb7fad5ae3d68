"""Zipkin: a span for each sampled request, in batches over HTTP.

Owns the spans' JSON (zipkin.io/zipkin-api, version 2). Refuses to know how traces are begun and told onwards (the
proxy's trace layer) and the network (`push.post`).

A request costs a tuple in a bounded queue. A batch that could not be delivered goes back to the queue; what comes
while that is full is dropped and counted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
from tulle_plugin_api import Exchange, ExporterContext
from tulle_plugin_api.options import Options
from tulle_plugin_api.push import Backlog, Pusher, SendFailed, post
from tulle_plugin_api.trace import Record, record

BATCH = 500
"""Spans in one request."""


class Place(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Zipkin's Endpoint: one side of a span."""

    service_name: str = ""
    ipv4: str = ""
    ipv6: str = ""
    port: int = 0


class ZipkinSpan(msgspec.Struct, omit_defaults=True, rename="camel"):
    """One span, as POST /api/v2/spans takes it. Times are microseconds."""

    trace_id: str
    id: str
    kind: str
    name: str
    timestamp: int
    duration: int
    local_endpoint: Place
    remote_endpoint: Place
    tags: dict[str, str]
    parent_id: str = ""


class Zipkin(Pusher):
    """Options, see README: url, interval, timeout, queue."""

    spans = True

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = Options(context.options)
        super().__init__("zipkin", options.seconds("interval", 1.0))
        self._url = options.url("url", "http://localhost:9411/api/v2/spans")
        self._timeout = options.seconds("timeout", 5.0)
        self._queue: Backlog[Record] = Backlog(options.whole("queue", 4096))
        options.done()
        self._name = context.workload.rpartition("/")[2] or context.pod or "tulle-proxy"
        self._common = {"tulle.namespace": context.namespace, "tulle.pod": context.pod}

    def observe(self, exchange: Exchange) -> None:
        """Keep what a span needs, if the request's trace is recorded."""
        span = exchange.span
        if span is not None and span.sampled:
            self._queue.put(record(exchange, time.time()))

    def counters(self) -> Mapping[str, float]:
        """`sent` and `dropped`: spans."""
        return {**super().counters(), "dropped_total": self.dropped + self._queue.dropped}

    async def send(self) -> None:
        """All that is queued now. Raises SendFailed."""
        left = len(self._queue)
        while left > 0:
            batch = self._queue.take(min(left, BATCH))
            left -= len(batch)
            body = msgspec.json.encode([self._span(kept) for kept in batch])
            try:
                await post(self._url, body, {"Content-Type": "application/json"}, self._timeout)
            except SendFailed as error:
                if error.refused:
                    self.dropped += len(batch)
                else:
                    self._queue.give_back(batch)
                raise
            self.sent += len(batch)

    def _span(self, kept: Record) -> ZipkinSpan:
        assert kept.span is not None
        service, endpoint = kept.service, kept.endpoint
        tags = {
            **self._common,
            "http.method": kept.method,
            "http.path": kept.path,
            "http.host": kept.authority,
            "http.status_code": str(kept.status) if kept.status else "",
            "error": (kept.reason or ("aborted" if kept.aborted else str(kept.status))) if kept.failed else "",
            "tulle.reason": kept.reason,
            "tulle.route": kept.route,
            "tulle.backend": kept.backend,
            "tulle.attempts": str(kept.attempts) if kept.attempts > 1 else "",
        }
        if kept.direction == "outbound":
            kind, name = "CLIENT", (f"{service.name}.{service.namespace}" if service else "")
            ip, port = endpoint.address if endpoint else ("", 0)
            tags["tulle.endpoint"] = endpoint.pod if endpoint else ""
        else:
            kind, name = "SERVER", kept.source_identity
            ip, port = kept.source_ip, kept.source_port
        return ZipkinSpan(
            trace_id=kept.span.trace_id,
            id=kept.span.span_id,
            parent_id=kept.span.parent_id,
            kind=kind,
            name=kept.method.lower(),
            timestamp=int((kept.ended - kept.seconds) * 1e6),
            duration=max(1, round(kept.seconds * 1e6)),  # 0 would mean that it is not known
            local_endpoint=Place(self._name),
            remote_endpoint=Place(name, *(("", ip) if ":" in ip else (ip, "")), port),
            tags={name: value for name, value in tags.items() if value},
        )
