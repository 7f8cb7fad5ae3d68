"""Reads Prometheus' text format as far as the figures need it: samples with labels, summed by what they must match."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Samples:
    """All samples of one scrape: name, labels, value."""

    rows: tuple[tuple[str, dict[str, str], float], ...]

    @classmethod
    def read(cls, text: str) -> Samples:
        """Parse a page. Lines that are no samples are passed over."""
        found = (_SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
        return cls(tuple((m[1], dict(_LABEL.findall(m[2] or "")), float(m[3])) for m in found if m))

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name whose labels include these."""
        return sum(value for _, value in self._matching(name, labels))

    def _matching(self, name: str, labels: dict[str, str]) -> Iterable[tuple[dict[str, str], float]]:
        return (
            (found, value) for known, found, value in self.rows
            if known == name and labels.items() <= found.items()
        )


@dataclass(frozen=True)
class Counted:
    """How much a proxy has counted for one Service in one direction: HTTP requests and relayed connections."""

    http: float
    tcp: float

    @classmethod
    def of(cls, samples: Samples, direction: str, service: str) -> Counted:
        """From its metrics."""
        return cls(
            samples.total("tulle_http_requests_total", direction=direction, service=service),
            samples.total("tulle_tcp_connections_opened_total", direction=direction, service=service),
        )

    def __sub__(self, other: Counted) -> Counted:
        return Counted(self.http - other.http, self.tcp - other.tcp)
