"""OTLP: metrics, logs and traces for OpenTelemetry's collector and whatever else speaks its protocol.

Owns what is kept of an exchange, for which signal, and when it is sent. Refuses to know OpenTelemetry's types
(convert.py) and the wire, which is its official exporters' work.

A request costs what counting costs, and a tuple in a bounded queue for logs or traces; making a span by the SDK would
cost it 35 us. Everything else happens in a thread, in batches.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import trio
from tulle_plugin_api import Exchange, Exporter, ExporterContext
from tulle_plugin_api.flows import MAX_SERIES, Flows
from tulle_plugin_api.options import Options
from tulle_plugin_api.push import Backlog, Pusher, SendFailed
from tulle_plugin_api.rows import Row, own_rows, rows
from tulle_plugin_api.trace import Record, record

from tulle_exporter_otlp.convert import FlowFigures, Sdk, Signal

SIGNALS = ("metrics", "logs", "traces")
PROTOCOLS = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
BATCH = 512
"""Logs or spans in one request."""
SWITCH_INTERVAL = 0.0005
"""Seconds that the thread may keep the interpreter while requests wait for it: Python's own 5 ms would be felt."""

T = TypeVar("T")


class Otlp(Exporter):
    """Options, see README: signals, protocol, endpoint, headers, interval, metrics_interval, timeout, queue, ..."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = Options(context.options)
        signals = options.choices("signals", SIGNALS, "metrics")
        protocol = options.choice("protocol", PROTOCOLS, "http/protobuf")
        endpoint = options.url("endpoint", PROTOCOLS[protocol])
        headers = _headers(options.text("headers"))
        timeout = options.seconds("timeout", 5.0)
        interval = options.seconds("interval", 1.0)
        metrics_interval = options.seconds("metrics_interval", 10.0)
        queue, most = options.whole("queue", 4096), options.whole("max_series", MAX_SERIES)
        sample = options.share("log_sample", 1.0)
        options.done()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        sdk = Sdk(context, protocol, endpoint, headers, timeout)
        self._metrics = Metrics(context, sdk, metrics_interval, most) if "metrics" in signals else None
        self._logs = Records(sdk.logs(), interval, queue) if "logs" in signals else None
        self._traces = Records(sdk.traces(), interval, queue) if "traces" in signals else None
        self._pushers = [pusher for pusher in (self._metrics, self._logs, self._traces) if pusher is not None]
        self._keep_log = _sampler(sample)
        self.spans = self._traces is not None

    def observe(self, exchange: Exchange) -> None:
        """Count, and keep what a log record or a span needs."""
        if self._metrics is not None:
            self._metrics.flows.observe(exchange)
        wants_log = self._logs is not None and (exchange.failed or self._keep_log())
        wants_span = self._traces is not None and exchange.span is not None and exchange.span.sampled
        if wants_log or wants_span:
            kept = record(exchange, time.time())
            if wants_log and self._logs is not None:
                self._logs.queue.put(kept)
            if wants_span and self._traces is not None:
                self._traces.queue.put(kept)

    def opened(self, exchange: Exchange) -> None:
        """Count."""
        if self._metrics is not None:
            self._metrics.flows.opened(exchange)

    def counters(self) -> Mapping[str, float]:
        """Of all signals together; `sent` and `dropped`: data points, log records and spans."""
        total: dict[str, float] = {}
        for pusher in self._pushers:
            for name, value in pusher.counters().items():
                total[name] = total.get(name, 0) + value
        return total

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for pusher in self._pushers:
                nursery.start_soon(pusher.run)

    async def attempt(self) -> bool:
        """Send every signal now, side by side. True: all went well."""
        well: list[bool] = []

        async def one(pusher: Pusher) -> None:
            well.append(await pusher.attempt())

        async with trio.open_nursery() as nursery:
            for pusher in self._pushers:
                nursery.start_soon(one, pusher)
        return all(well)

    async def aclose(self) -> None:
        """The last of every signal, side by side."""
        try:
            await self.attempt()
        finally:
            for pusher in self._pushers:
                await pusher.aclose()


class _Signal(Pusher):
    """One signal: what is sent, how, and that the end of one is the end of its SDK exporter."""

    def __init__(self, signal: Signal[T], interval: float) -> None:
        super().__init__(f"otlp ({signal.name})", interval)
        self._close = signal.close

    def observe(self, exchange: Exchange) -> None:
        """`Otlp` does."""

    async def aclose(self) -> None:
        """Also ends the SDK exporter's tries, which are in a thread that nobody can cancel."""
        self._close()


class Metrics(_Signal):
    """Totals since the start; a round that failed costs resolution and no counts."""

    def __init__(self, context: ExporterContext, sdk: Sdk, interval: float, max_series: int) -> None:
        self._signal = sdk.metrics()
        super().__init__(self._signal, interval)
        self.flows = Flows(dict, max_series)
        self._context = context

    def counters(self) -> Mapping[str, float]:
        """As `Pusher.counters`, and series that there was no room for."""
        return {**super().counters(), "overflows_total": self.flows.overflows}

    async def send(self) -> None:
        """One round. Raises SendFailed."""
        told: list[Row] = [*rows(self.flows), *own_rows(self._context.counters())]
        figures = [FlowFigures(flow.labels, tuple(flow.buckets), flow.seconds) for flow in self.flows.flows()]
        points = sum(len(row.counters) + len(row.gauges) for row in told) + len(figures)
        try:
            await _in_thread(self._signal, (told, figures))
        except SendFailed:
            self.dropped += points
            raise
        self.sent += points


class Records(_Signal):
    """Log records or spans. What could not be delivered waits in the queue; what finds it full is dropped."""

    def __init__(self, signal: Signal[list[Record]], interval: float, most: int) -> None:
        self._signal = signal
        super().__init__(signal, interval)
        self.queue: Backlog[Record] = Backlog(most)

    def counters(self) -> Mapping[str, float]:
        """As `Pusher.counters`, with what the queue had no room for."""
        return {**super().counters(), "dropped_total": self.dropped + self.queue.dropped}

    async def send(self) -> None:
        """All that is queued now. Raises SendFailed."""
        left = len(self.queue)
        while left > 0:
            batch = self.queue.take(min(left, BATCH))
            left -= len(batch)
            try:
                await _in_thread(self._signal, batch)
            except SendFailed:
                self.queue.give_back(batch)
                raise
            self.sent += len(batch)


async def _in_thread(signal: Signal[T], data: T) -> None:
    if not await trio.to_thread.run_sync(signal.export, data, abandon_on_cancel=True):
        raise SendFailed(f"{signal.endpoint} would not have it, or did not answer in time")


def _sampler(share: float) -> Callable[[], bool]:
    if share >= 1:
        return lambda: True
    from random import Random

    chance = Random().random
    return lambda: chance() < share


def _headers(text: str) -> dict[str, str]:
    """`name=value,other=value`, as OTEL_EXPORTER_OTLP_HEADERS has it."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name) or re.search(r"[^\x20-\x7e]", value):
            raise ValueError("headers: expected name=value,other=value with printable ASCII, got something else")
        found[name.lower()] = value
    return found
