"""Graphite: totals and gauges as lines of text over TCP, at each interval.

Owns the lines (Graphite's "plaintext protocol") and their names. Refuses to know the network (`push.Stream`).

What is told are totals since the proxy started, so that a round that failed costs resolution, not counts: ask Graphite
for `perSecond` or `nonNegativeDerivative` of them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

from tulle_plugin_api import Exchange, ExporterContext
from tulle_plugin_api.flows import MAX_SERIES, Flows, Labels
from tulle_plugin_api.options import Options
from tulle_plugin_api.push import Pusher, SendFailed, Stream
from tulle_plugin_api.rows import Recent, Row, nodes, own_rows, rows


class Graphite(Pusher):
    """Options: `address`, `interval`, `timeout`, `tags`, `prefix`, `max_series`: see README."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood."""
        options = Options(context.options)
        super().__init__("graphite", options.seconds("interval", 10.0))
        self._out = Stream(options.address("address", "localhost:2003"), options.seconds("timeout", 5.0))
        self._path = PATHS[options.choice("tags", PATHS, "graphite")]
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
        lines = list(self._lines(int(time.time())))
        try:
            await self._out.send("".join(lines).encode("ascii"))
        except SendFailed:
            self.dropped += len(lines)
            raise
        self.sent += len(lines)

    def _lines(self, now: int) -> Iterator[str]:
        for row in self._rows():
            labels = {**self._mine, **row.labels}
            for name, value in (*row.counters.items(), *row.gauges.items()):
                yield f"{self._path(f'{self._prefix}.{row.name}.{name}', labels)} {value:.12g} {now}\n"

    def _rows(self) -> Iterator[Row]:
        yield from rows(self._flows)
        yield from self._recent.rows()
        yield from own_rows(self._context.counters())

    async def aclose(self) -> None:
        """The last round, then the connection."""
        await super().aclose()
        self._out.close()


# --- names ------------------------------------------------------------------------------------------------------

_UNSAFE = re.compile(r"[^\x21-\x7e]|[;~]")


def tagged(name: str, labels: Labels) -> str:
    """`tulle.http.requests;service=app-b;status=200` (Graphite 1.1 and later). A tag without a value is left out."""
    tags = [f"{label}={_UNSAFE.sub('_', value)}" for label, value in labels.items() if value]
    return ";".join([_NAME.sub("_", name), *tags])


def dotted(name: str, labels: Labels) -> str:
    """`tulle.http.requests.demo.deployment_app-a.app-a-1.outbound.app-b...`: labels' values as nodes, "-" for none."""
    return f"{_NAME.sub('_', name)}.{nodes(labels)}"


_NAME = re.compile(r"[^a-zA-Z0-9_.-]")
PATHS: Mapping[str, Callable[[str, Labels], str]] = {"graphite": tagged, "none": dotted}
