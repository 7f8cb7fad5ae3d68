"""Lines of the StatsD protocol (github.com/statsd/statsd, docs/metric_types.md), with DogStatsD's tags or without.

Owns names, escaping and how lines are packed into datagrams. Pure.

    tulle.http.requests:3|c|#direction:outbound,service:app-b,...         with tags (DogStatsD)
    tulle.http.requests.outbound.app-b.default...:3|c                     without: labels are part of the name
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tulle_plugin_api.flows import Labels
from tulle_plugin_api.rows import nodes


class Line(NamedTuple):
    """One line without its break."""

    text: bytes
    key: bytes = b""  # of a counter: the line without its value
    total: float = 0.0  # of a counter: what has been told once this has arrived
    timings: int = 0  # how many timings are in it


class Tagged:
    """DogStatsD: `name:value|type|#tag:value,...`."""

    def __init__(self, prefix: str, values: int) -> None:
        """`values`: timings in one line, at most. More than one needs protocol 1.1, which StatsD itself lacks."""
        self._prefix = prefix
        self._values = values

    def _name(self, name: str, labels: Labels) -> str:
        return f"{self._prefix}.{name}"

    def _tail(self, labels: Labels) -> str:
        tags = [f"{name}:{_UNSAFE.sub('_', value)}" for name, value in labels.items() if value]
        return f"|#{','.join(tags)}" if tags else ""

    def counter(self, name: str, labels: Labels, total: float, told: Mapping[bytes, float]) -> Line | None:
        """What was added to a counter since it was `told`; None when that is nothing."""
        head, tail = self._name(name, labels), self._tail(labels)
        key = f"{head}{tail}".encode("utf-8", "replace")
        more = total - told.get(key, 0.0)
        return Line(f"{head}:{more:.12g}|c{tail}".encode("utf-8", "replace"), key, total) if more > 0 else None

    def gauge(self, name: str, labels: Labels, value: float) -> Line:
        """A gauge's value, which must not be negative: the protocol would subtract it."""
        text = f"{self._name(name, labels)}:{max(0.0, value):.12g}|g{self._tail(labels)}"
        return Line(text.encode("utf-8", "replace"))

    def timings(self, name: str, labels: Labels, values: Sequence[float], sample: float) -> Iterator[Line]:
        """Milliseconds; `sample`: the share of all that these are."""
        rate = f"|@{sample:g}" if sample < 1 else ""
        for start in range(0, len(values), self._values):
            some = [f"{value:.3f}" for value in values[start : start + self._values]]
            text = self._timing(self._name(name, labels), some, rate, self._tail(labels))
            yield Line(text.encode("utf-8", "replace"), timings=len(some))

    def _timing(self, name: str, values: list[str], rate: str, tail: str) -> str:
        return f"{name}:{':'.join(values)}|ms{rate}{tail}"


class Dotted(Tagged):
    """StatsD as it began: no tags. It has always known several values in a line, in a form of its own."""

    def _name(self, name: str, labels: Labels) -> str:
        return f"{self._prefix}.{name}.{nodes(labels)}"

    def _tail(self, labels: Labels) -> str:
        return ""

    def _timing(self, name: str, values: list[str], rate: str, tail: str) -> str:
        return f"{name}:{':'.join([f'{value}|ms{rate}' for value in values])}"


FORMATS: Mapping[str, Callable[[str, int], Tagged]] = {"dogstatsd": Tagged, "none": Dotted}

_UNSAFE = re.compile(r"[^\x21-\x7e]|[,|#]")


def datagrams(lines: Iterable[Line], most: int) -> Iterator[tuple[bytes, list[Line]]]:
    """Lines packed into datagrams of at most `most` bytes, in order; a longer line goes alone."""
    inside: list[Line] = []
    size = 0
    for line in lines:
        if inside and size + len(line.text) > most:
            yield b"\n".join([one.text for one in inside]), inside
            inside, size = [], 0
        inside.append(line)
        size += len(line.text) + 1
    if inside:
        yield b"\n".join([one.text for one in inside]), inside
