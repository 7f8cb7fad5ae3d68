"""Rows: what `flows` has counted, and the proxy itself, in one shape for formats that write names and values.

Owns the names of figures. Refuses to know any format. A module of its own, since an exporter that does not push (the
default one) needs none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tulle_plugin_api.flows import Flows, Labels, own
from tulle_plugin_api.latency import quantile

QUANTILES = (50, 90, 99)  # percent


class Row(NamedTuple):
    """Figures that share labels, for formats that write them together. Counters only grow; gauges do as they like."""

    name: str  # "http", "tcp"
    labels: Labels
    counters: Mapping[str, float]
    gauges: Mapping[str, float]


def rows(flows: Flows[Any]) -> Iterator[Row]:
    """Everything counted, but for how durations are spread (`Flow.buckets`)."""
    for outcome in flows.outcomes():
        yield Row("http", outcome.labels, {"requests": outcome.count}, {})
    for flow in flows.flows():
        counters = {
            "attempts": flow.attempts,
            "request_bytes": flow.request_bytes,
            "response_bytes": flow.response_bytes,
            "duration_seconds": flow.seconds,
        }
        yield Row("http", flow.labels, counters, {})
    for one, sent, received in flows.connections():
        counters = {"opened": one.opened, "sent_bytes": sent, "received_bytes": received}
        yield Row("tcp", one.labels, counters, {"open": one.open})
        for reason, count in one.closed.items():
            yield Row("tcp", {**one.labels, "reason": reason}, {"closed": count}, {})


class Recent:
    """How durations were spread since the last time it was asked, for receivers that know no histograms."""

    def __init__(self, flows: Flows[Any]) -> None:
        self._flows = flows
        self._seen: dict[int, list[int]] = {}  # flows live as long as `Flows`, so their id is a good key

    def rows(self) -> Iterator[Row]:
        """A row of gauges for each flow that had requests: quantiles in seconds."""
        for flow in self._flows.flows():
            before = self._seen.get(id(flow))
            now = self._seen[id(flow)] = list(flow.buckets)
            counts = [a - b for a, b in zip(now, before, strict=True)] if before else now
            if any(counts):
                found = {f"duration_p{q}_seconds": quantile(q / 100, counts) or 0.0 for q in QUANTILES}
                yield Row("http", flow.labels, {}, found)


def own_rows(counters: Mapping[str, float]) -> Iterator[Row]:
    """The proxy's own counters as rows named "proxy", without the prefix `tulle_proxy_`."""
    for name, labels, value in own(counters):
        short = name.removeprefix("tulle_proxy_")
        if short.endswith("_total"):
            yield Row("proxy", labels, {short.removesuffix("_total"): value}, {})
        else:
            yield Row("proxy", labels, {}, {short: value})


def nodes(labels: Labels) -> str:
    """Labels' values as nodes of a dotted path, for receivers without tags: "outbound.app-b.default.-.true"."""
    return ".".join([_NODE.sub("_", value) or "-" for value in labels.values()])


_NODE = re.compile(r"[^a-zA-Z0-9_-]")
