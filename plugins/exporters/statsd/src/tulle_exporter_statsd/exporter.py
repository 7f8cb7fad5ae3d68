"""StatsD: counters, gauges and timings in datagrams, a few times a minute.

Owns what is told and what is kept for the next time. Refuses to know the lines (lines.py).

Counters are told as what was added since the last time. What the kernel did not take, or was heard to be refused,
counts as not told and is added to the next; a timing is a moment's value and is dropped, and counted. What gets lost
on the way nobody hears of: that is what UDP is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import trio
from tulle_plugin_api import Exchange, ExporterContext
from tulle_plugin_api.flows import MAX_SERIES, Flows, Labels
from tulle_plugin_api.options import Options
from tulle_plugin_api.push import Backlog, Datagrams, Pusher, SendFailed
from tulle_plugin_api.rows import Row, own_rows, rows

from tulle_exporter_statsd.lines import FORMATS, Line, datagrams

MAX_TIMINGS = 10_000
BURST = 65_536
"""Bytes in one go; then PAUSE seconds for the receiver, whose buffer is often 200 KB, to read them."""
PAUSE = 0.01
DATAGRAM = 1432
"""Bytes that pass a network with an MTU of 1500 in one piece, with room for an overlay's header."""


class Statsd(Pusher):
    """Options, see README: address, interval, tags, prefix, sample, timings, values, datagram, max_series."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = Options(context.options)
        self._out = Datagrams(options.datagram_address("address", "localhost:8125"))
        super().__init__("statsd", options.seconds("interval", 1.0))
        make = FORMATS[options.choice("tags", FORMATS, "dogstatsd")]
        self._format = make(options.text("prefix", "tulle"), options.whole("values", 1))
        self._sample = options.share("sample", 1.0)
        self._timings: Backlog[tuple[Labels, float]] = Backlog(options.whole("timings", MAX_TIMINGS, at_least=0))
        self._datagram = options.whole("datagram", DATAGRAM, at_least=256)
        # whoever adds up must not mix up whose gauges these are; counters of several pods simply add
        self._mine: Labels = {"namespace": context.namespace, "workload": context.workload}
        self._pod: Labels = {**self._mine, "pod": context.pod}
        self._flows = Flows[Labels](lambda labels: {**self._mine, **labels}, options.whole("max_series", MAX_SERIES))
        options.done()
        self._context = context
        self._told: dict[bytes, float] = {}  # counters, by their line without the value
        self._before = self._told  # as it was before what may still be refused
        self._random = random.Random()

    def observe(self, exchange: Exchange) -> None:
        """Count, and keep the duration of a request."""
        flow = self._flows.observe(exchange)
        if flow is not None and (self._sample >= 1 or self._random.random() < self._sample):
            self._timings.put((flow.written, max(0.0, exchange.ended - exchange.started)))

    def opened(self, exchange: Exchange) -> None:
        """Count."""
        self._flows.opened(exchange)

    def counters(self) -> Mapping[str, float]:
        """`sent`: lines that were handed to the kernel; `dropped`: timings that were not."""
        dropped = self.dropped + self._timings.dropped
        return {**super().counters(), "dropped_total": dropped, "overflows_total": self._flows.overflows}

    async def send(self) -> None:
        """One round. Raises SendFailed when there is nobody; counters are then told by a later round."""
        refused = self._out.refused()
        if refused:
            self._told = self._before
        await self._out.open()
        self._before = dict(self._told)
        lines = [*self._counters_and_gauges(), *self._timing_lines()]
        burst = 0
        try:
            for datagram, inside in datagrams(lines, self._datagram):
                burst += len(datagram)
                if burst > BURST:
                    burst = 0
                    await trio.sleep(PAUSE)
                if self._out.send(datagram):
                    self.sent += len(inside)
                    self._told.update([(line.key, line.total) for line in inside if line.key])
                else:
                    self.dropped += sum(line.timings for line in inside)
            await trio.lowlevel.checkpoint()
            if self._out.refused() or refused:
                raise SendFailed("nobody listens at the address")
        except SendFailed:
            self._told = self._before
            self.dropped += sum(line.timings for line in lines)
            raise

    def _counters_and_gauges(self) -> Iterator[Line]:
        for row in self._rows():
            for name, total in row.counters.items():
                line = self._format.counter(f"{row.name}.{name}", {**self._mine, **row.labels}, total, self._told)
                if line is not None:
                    yield line
            for name, value in row.gauges.items():
                yield self._format.gauge(f"{row.name}.{name}", {**self._pod, **row.labels}, value)

    def _rows(self) -> Iterator[Row]:
        yield from rows(self._flows)
        yield from own_rows(self._context.counters())

    def _timing_lines(self) -> Iterator[Line]:
        by_flow: dict[int, tuple[Labels, list[float]]] = {}
        for labels, seconds in self._timings.take(len(self._timings)):
            by_flow.setdefault(id(labels), (labels, []))[1].append(seconds * 1000)
        for labels, values in by_flow.values():
            yield from self._format.timings("http.request_duration", labels, values, self._sample)

    async def aclose(self) -> None:
        """The last round, then the socket."""
        await super().aclose()
        self._out.close()
