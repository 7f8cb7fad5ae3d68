"""InfluxDB: totals and gauges in line protocol over HTTP, at each interval.

Owns the lines and their escaping (docs.influxdata.com, "Line protocol"). Refuses to know the network (`push.post`).

What is told are totals since the proxy started, so that a round that failed costs resolution, not counts: ask for
`non_negative_derivative` or `difference` of them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

from tulle_plugin_api import Exchange, ExporterContext
from tulle_plugin_api.flows import MAX_SERIES, Flows, Labels
from tulle_plugin_api.options import Options
from tulle_plugin_api.push import Pusher, SendFailed, post
from tulle_plugin_api.rows import Recent, Row, own_rows, rows

LINES = 5000
"""In one request, as InfluxData advises."""


class Influx(Pusher):
    """Options: `url`, `token`, `interval`, `timeout`, `prefix`, `max_series`: see README."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = Options(context.options)
        super().__init__("influx", options.seconds("interval", 10.0))
        self._url = options.url("url", "http://localhost:8086/write?db=tulle")
        self._timeout = options.seconds("timeout", 5.0)
        self._headers = {"Content-Type": "text/plain; charset=utf-8"}
        token = options.text("token")
        if re.search(r"[^\x21-\x7e]", token):
            raise ValueError("token: expected printable ASCII without spaces, got something else")  # and never show it
        if token:
            self._headers["Authorization"] = f"Token {token}"
        self._prefix = options.text("prefix", "tulle")
        self._flows = Flows(dict, options.whole("max_series", MAX_SERIES))
        options.done()
        self._recent = Recent(self._flows)
        self._context = context
        # these are totals of one proxy: another's must never be written to the same series
        self._mine = {"namespace": context.namespace, "workload": context.workload, "pod": context.pod}

    def observe(self, exchange: Exchange) -> None:
        """Count."""
        self._flows.observe(exchange)

    def observer(self, like: Exchange) -> Callable[[Exchange], object]:
        """Of exchanges like this one: their series are looked up once."""
        return self._flows.observer(like)

    def opened(self, exchange: Exchange) -> None:
        """Count."""
        self._flows.opened(exchange)

    def counters(self) -> Mapping[str, float]:
        """`sent` and `dropped`: lines."""
        return {**super().counters(), "overflows_total": self._flows.overflows}

    async def send(self) -> None:
        """One round. Raises SendFailed."""
        lines = list(self._lines(time.time_ns()))
        for start in range(0, len(lines), LINES):
            some = lines[start : start + LINES]
            try:
                await post(self._url, "".join(some).encode("utf-8", "replace"), self._headers, self._timeout)
            except SendFailed:
                self.dropped += len(lines) - start
                raise
            self.sent += len(some)

    def _lines(self, now: int) -> Iterator[str]:
        for row in self._rows():
            yield line(f"{self._prefix}_{row.name}", {**self._mine, **row.labels}, {**row.counters, **row.gauges}, now)

    def _rows(self) -> Iterator[Row]:
        yield from rows(self._flows)
        yield from self._recent.rows()
        yield from own_rows(self._context.counters())


def line(measurement: str, tags: Labels, fields: Mapping[str, float], now: int) -> str:
    """One line, with its break. Every field is a float: one that was whole once and not later would be a conflict."""
    head = ",".join([_escaped(measurement), *(f"{name}={_escaped(tags[name])}" for name in sorted(tags) if tags[name])])
    return f"{head} {','.join([f'{name}={value:.17g}' for name, value in fields.items()])} {now}\n"


def _escaped(text: str) -> str:
    # no escape says a line break or a last backslash, so these are replaced
    return _SPECIAL.sub(r"\\\g<0>", _UNSAYABLE.sub("_", text))


_SPECIAL = re.compile(r"[ ,=]")
_UNSAYABLE = re.compile(r"[\x00-\x1f\x7f\\]")
