"""What app-a counted of its own calls to app-b: how many failed, and who answered. Pure arithmetic.

The numbers are the *client's*: they come from the program that makes the calls, not from the mesh that carries them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Answerer:
    """Who answered a call, as it said itself."""

    app: str
    version: str
    pod: str


@dataclass(frozen=True)
class Tally:
    """Calls made, calls that failed, and answers by who gave them. Subtract an earlier one to see what came since.

    A program that was started anew counts from nothing. What came since is then what the new one has counted, and
    `anew` says so. `run`: which run of the program counted; `under_way`: calls with no answer yet.
    """

    total: int
    failed: int
    by: Mapping[Answerer, int] = field(default_factory=dict)
    under_way: int = 0
    run: str = ""
    anew: bool = False

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> Tally:
        """From the sample app's `GET /stats` (`upstream`, whose `answered_by` has keys "app version pod")."""
        upstream = stats["upstream"]
        by = {Answerer(*words.split(" ", 2)): count for words, count in upstream["answered_by"].items()}
        run = f"{stats['pod']} {stats['started_at']}"
        return cls(upstream["total"], upstream["failed"], by, upstream["in_flight"], run)

    def __sub__(self, earlier: Tally) -> Tally:
        if self.run != earlier.run:
            return replace(self, anew=True)
        by = Counter(dict(self.by))
        by.subtract(dict(earlier.by))
        return replace(
            self, total=self.total - earlier.total, failed=self.failed - earlier.failed,
            by={who: n for who, n in by.items() if n},
        )

    @property
    def answered(self) -> int:
        """Calls of which the answerer is known."""
        return sum(self.by.values())

    def shares(self, attribute: str) -> dict[str, float]:
        """Share of answers, 0 to 1, by "pod", "version" or "app", sorted by that."""
        counts: Counter[str] = Counter()
        for who, count in self.by.items():
            counts[getattr(who, attribute)] += count
        return {name: counts[name] / self.answered for name in sorted(counts)} if self.answered else {}


def even(shares: Mapping[str, float], among: int, points: float) -> bool:
    """Whether `among` have a share each, all within `points` percentage points of an equal one."""
    return len(shares) == among and all(abs(share - 1 / among) * 100 <= points for share in shares.values())


def bars(shares: Mapping[str, float], width: int = 40, block: str = "█") -> str:
    """One line a name: a bar of at most `width` blocks for the whole, and the share in percent."""
    longest = max(map(len, shares), default=0)
    return "\n".join(
        f"{name:<{longest}}  {block * round(share * width):<{width}} {share * 100:5.1f}%"
        for name, share in shares.items()
    )
