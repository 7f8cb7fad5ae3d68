"""Counts of what was served, and of what was asked of the upstream. Plain numbers; no I/O, no clock."""

from collections import Counter, deque
from collections.abc import Sequence

RECENT = 1024  # how many latest durations the percentiles are of


def percentile(durations: Sequence[float], share: float) -> float | None:
    """The duration that a `share` of the durations does not exceed (nearest rank); None of nothing."""
    if not durations:
        return None
    ordered = sorted(durations)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Stats:
    """Counters since the start or the last reset."""

    def __init__(self) -> None:
        self.in_flight = self.asking = 0
        self.reset()

    def reset(self) -> None:
        """Begin at nothing again; requests in flight stay counted as such."""
        self.served: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.answered_by: Counter[str] = Counter()
        self.load: Counter[str] = Counter()
        self._served_seconds: deque[float] = deque(maxlen=RECENT)
        self._asked_seconds: deque[float] = deque(maxlen=RECENT)

    def count_served(self, status: int, seconds: float) -> None:
        """Count one answer of this app."""
        self.served[str(status)] += 1
        self._served_seconds.append(seconds)

    def count_asked(self, outcome: str, answered_by: str, seconds: float) -> None:
        """Count one call of the upstream: its status, or the name of an error, and who answered if known."""
        self.asked[outcome] += 1
        if answered_by:
            self.answered_by[answered_by] += 1
        self._asked_seconds.append(seconds)

    def report(self) -> dict[str, object]:
        """All counters, for GET /stats."""
        ok = sum(count for outcome, count in self.asked.items() if outcome.startswith("2"))
        return {
            "served": {"total": self.served.total(), "by_status": dict(self.served), "in_flight": self.in_flight,
                       "latency_ms": _latency(self._served_seconds)},
            "upstream": {"total": self.asked.total(), "ok": ok, "failed": self.asked.total() - ok,
                         "in_flight": self.asking,
                         "by_outcome": dict(self.asked), "answered_by": dict(self.answered_by),
                         "latency_ms": _latency(self._asked_seconds)},
            "load": {"sent": self.load["sent"], "skipped": self.load["skipped"]},
        }


def _latency(seconds: Sequence[float]) -> dict[str, float | None]:
    values = {name: percentile(seconds, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {name: None if value is None else round(value * 1000, 3) for name, value in values.items()}
