"""What a canary was asked to do: steps, time at each, and the bars it must clear. Pure.

Owns how a plan is read from words and from JSON, and what is wrong with a bad one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from tulle_plugin_api.latency import LATENCY_BUCKETS

LONGEST_P99 = LATENCY_BUCKETS[-1]
"""Seconds. Latencies above it are counted as that, so that no bar above it could be missed."""


@dataclass(frozen=True)
class Plan:
    """`steps`: shares in percent, rising. `every`: seconds at least at each of them."""

    steps: tuple[int, ...] = (5, 25, 50, 100)
    every: float = 30.0
    min_success: float = 99.0
    """Percent of the canary's requests that must not fail."""
    max_p99: float | None = None
    """Seconds; None: latency is not judged."""
    min_requests: int = 100
    """With fewer requests at a step there is nothing to judge by, and the canary holds."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or not 1 <= self.steps[0] <= 100:
            raise ValueError(f"steps: expected rising percentages from 1 to 100 such as 5,25,50,100, got {self._steps}")
        if self.steps[-1] > 100:
            raise ValueError(f"steps: expected percentages of at most 100, got {self._steps}")
        if not 0 < self.min_success <= 100:
            raise ValueError(f"min-success: expected percent above 0 and at most 100, got {self.min_success:g}")
        if self.every < 1:
            raise ValueError(f"every: expected 1s or more, since proxies report once a second, got {self.every:g}s")
        if self.max_p99 is not None and not 0 < self.max_p99 <= LONGEST_P99:
            raise ValueError(f"max-p99: expected above 0 and at most {LONGEST_P99:g}s, got {self.max_p99:g}s")
        if self.min_requests < 1:
            raise ValueError(f"min-requests: expected 1 or more, got {self.min_requests}")

    @property
    def _steps(self) -> str:
        return ",".join(map(str, self.steps)) or "none"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        steps = tuple(int(step) for step in data["steps"])
        p99 = data["max_p99"]
        return cls(
            steps, float(data["every"]), float(data["min_success"]), None if p99 is None else float(p99),
            int(data["min_requests"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, of which `from_json` makes an equal plan."""
        return {**asdict(self), "steps": list(self.steps)}

    def differences(self, other: Plan) -> list[str]:
        """What differs from another plan: "every 30 instead of 10"."""
        mine, others = self.to_json(), other.to_json()
        return [f"{name.replace('_', '-')} {mine[name]} instead of {others[name]}" for name in mine
                if mine[name] != others[name]]


def fewest(min_success: float) -> int:
    """The requests a bar is judged by unless somebody says: so many that one failure among them is allowed, and 100.

    99.5% of 100 requests would allow half a failure: one unlucky request would end a good version's canary.
    """
    return max(100, ceil(100 / (100 - min_success) - 1e-6)) if min_success < 100 else 100


def steps_of(text: str) -> tuple[int, ...]:
    """(5, 25, 100) of "5,25,100"; percent signs are allowed. Raises ValueError; Plan judges the numbers."""
    try:
        return tuple(int(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise ValueError(f"steps: expected percentages such as 5,25,50,100, got {text!r}") from None
