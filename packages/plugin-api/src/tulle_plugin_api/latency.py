"""Latency histograms: the one set of buckets that proxies count in and the control plane reads.

Owns the bounds and the arithmetic. Refuses to know who measures. Bounds are seconds, upper and inclusive
(Prometheus's `le`), about six a decade from 0.1 ms to one minute: a quantile read from them is off by at most a
quarter of its value, and two histograms add by adding their counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

LATENCY_BUCKETS: tuple[float, ...] = (
    0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.00075,
    0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075,
    0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 1.5, 2.0, 3.0, 5.0, 7.5,
    10.0, 15.0, 20.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds in seconds. A histogram is a list of `BUCKET_COUNT` counts: one a bound, and a last one for above."""

BUCKET_COUNT = len(LATENCY_BUCKETS) + 1


def bucket(seconds: float) -> int:
    """Which count of a histogram an observation belongs to: 0 to `BUCKET_COUNT - 1`."""
    return bisect_left(LATENCY_BUCKETS, seconds)


def quantile(q: float, counts: Sequence[int]) -> float | None:
    """The `q`-quantile (0 to 1) of a histogram, in seconds; None when nothing was counted.

    Linear within a bucket, as Prometheus's histogram_quantile. What lies above the last bound is given as that
    bound: "at least 60 s". Raises ValueError for a histogram of another shape or a `q` outside 0..1.
    """
    if len(counts) != BUCKET_COUNT:
        raise ValueError(f"a latency histogram has {BUCKET_COUNT} counts (see LATENCY_BUCKETS), got {len(counts)}")
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is between 0 and 1, got {q}")
    total = sum(counts)
    if total == 0:
        return None
    rank, seen, lower = q * total, 0, 0.0
    for count, upper in zip(counts, LATENCY_BUCKETS, strict=False):
        if count and seen + count >= rank:
            return lower + (upper - lower) * max(0.0, rank - seen) / count
        seen += count
        lower = upper
    return LATENCY_BUCKETS[-1]
