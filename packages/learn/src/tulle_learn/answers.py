"""Answers to a check's requests, and the counting that checks do with them. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One. `status` 0: none came, and `error` says why. Times in seconds, on the client's monotonic clock."""

    status: int
    seconds: float = 0.0
    began: float = 0.0
    number: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    error: str = ""

    @property
    def json(self) -> dict[str, Any]:
        """The body, when it is a JSON object; else empty."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def pod(self) -> str:
        """Who answered, in the sample app's own words; empty when somebody else did."""
        return str(self.json.get("pod", ""))

    @property
    def outcome(self) -> str:
        """`200`, `503 circuit-open` (with the mesh's reason) or what failed."""
        reason = self.headers.get("tulle-reason", "")
        return f"{self.status} {reason}".strip() if self.status else self.error or "no answer"


@dataclass(frozen=True)
class Answers:
    """All of one call, in the order in which they came."""

    all: tuple[Answer, ...]

    @classmethod
    def of(cls, lines: str) -> Answers:
        """From traffic.py's output."""
        return cls(tuple(Answer(**json.loads(line)) for line in lines.splitlines() if line.startswith("{")))

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def good(self) -> Answers:
        """Status 200 to 399."""
        return self.where(lambda one: 200 <= one.status < 400)

    @property
    def bad(self) -> Answers:
        """The others."""
        return self.where(lambda one: not 200 <= one.status < 400)

    def where(self, test: Callable[[Answer], bool]) -> Answers:
        """Those for which `test` is true."""
        return Answers(tuple(filter(test, self.all)))

    def count(self, key: Callable[[Answer], str]) -> Counter[str]:
        """How many of each."""
        return Counter(map(key, self.all))

    def outcomes(self) -> str:
        """`57 x 200, 3 x 503 circuit-open`, the most frequent first."""
        return told(self.count(lambda one: one.outcome)) or "nothing was asked"

    def slowest(self, share: float = 0.0) -> float:
        """Seconds of the slowest; `share` 0.05 leaves out the slowest 5 percent."""
        times = sorted(one.seconds for one in self.all)
        return times[max(0, int(len(times) * (1 - share)) - 1)] if times else 0.0


def told(counts: Counter[str]) -> str:
    """`57 x 200, 3 x 503`."""
    return ", ".join(f"{count} x {name}" for name, count in counts.most_common())


def shares(counts: Counter[str], names: Sequence[str] = ()) -> str:
    """`a 33 %, b 67 %`; `names` are there also with nothing."""
    total = sum(counts.values()) or 1
    keys = sorted({*counts, *names})
    return ", ".join(f"{key} {100 * counts[key] / total:.0f} %" for key in keys) or "nothing"
