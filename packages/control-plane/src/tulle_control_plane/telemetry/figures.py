"""Counts that add up, and the figures that are read from them: rate, success, latency.

Owns the arithmetic. Refuses to know whose counts they are and over which time they were gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tulle_plugin_api.latency import BUCKET_COUNT, quantile

MOST = 2**48
"""No count of one report is taken for more: a proxy gone mad must not turn every sum into nonsense."""


class Counts:
    """Requests and bytes, added up. Latency buckets are kept sparse: few of them are ever used at a time."""

    __slots__ = ("_buckets", "failures", "received_bytes", "requests", "sent_bytes")

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.sent_bytes = 0  # client to server
        self.received_bytes = 0  # server to client
        self._buckets: dict[int, int] = {}

    def add_http(self, requests: int, failures: int, buckets: Sequence[int]) -> None:
        """Requests, how many of them failed, and their histogram (see tulle_plugin_api.latency)."""
        self.requests += min(requests, MOST)
        self.failures += min(failures, requests, MOST)
        for index, count in enumerate(buckets):
            if count:
                self._buckets[index] = self._buckets.get(index, 0) + min(count, MOST)

    def add_tcp(self, sent: int, received: int) -> None:
        """Bytes of connections that nothing was parsed of."""
        self.sent_bytes += min(sent, MOST)
        self.received_bytes += min(received, MOST)

    def merge(self, other: Counts) -> None:
        """Add another's counts to these."""
        self.requests += other.requests
        self.failures += other.failures
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes
        for index, count in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + count

    def histogram(self) -> list[int]:
        """All buckets, as `tulle_plugin_api.latency.quantile` wants them."""
        return [self._buckets.get(index, 0) for index in range(BUCKET_COUNT)]


@dataclass(frozen=True, slots=True)
class Figures:
    """What people read. Rates are a second, latencies in seconds, success 0 to 1; None where nothing was requested."""

    requests: int
    rps: float
    success: float | None
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None
    tcp_open: int
    tcp_sent_bps: float
    tcp_received_bps: float


def figures(counts: Counts, seconds: float, tcp_open: int = 0) -> Figures:
    """The figures of counts that were gathered over `seconds` (above 0)."""
    histogram = counts.histogram()
    return Figures(
        requests=counts.requests,
        rps=counts.requests / seconds,
        success=(counts.requests - counts.failures) / counts.requests if counts.requests else None,
        latency_p50=quantile(0.50, histogram),
        latency_p95=quantile(0.95, histogram),
        latency_p99=quantile(0.99, histogram),
        tcp_open=tcp_open,
        tcp_sent_bps=counts.sent_bytes / seconds,
        tcp_received_bps=counts.received_bytes / seconds,
    )
