"""What a check saw. Values only: a verdict can be printed, compared with an earlier one, or sent as JSON.

Owns the words of one observation: what was looked at, what was observed, what was expected, which objective it is
about. Refuses to know how anything is looked at (mesh.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Observation:
    """One look at the running mesh. `objective` counts from 1; 0 is what comes before them all: it has to run."""

    objective: int
    what: str
    observed: str
    expected: str
    holds: bool
    meaning: str = ""
    """Of a failure: what it does to somebody who uses the mesh, and where to look."""
    raised: str = ""
    """What the learner's code raised meanwhile, out of the logs (complaints.py)."""

    def to_json(self) -> dict[str, Any]:
        """As `-o json` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Verdict:
    """The observations of one run of a check, in order; the last one is the only one that may not hold."""

    observations: tuple[Observation, ...]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """All that was looked at was as expected, and something was."""
        return bool(self.observations) and all(seen.holds for seen in self.observations)

    @property
    def failure(self) -> Observation | None:
        """The observation that did not hold."""
        return next((seen for seen in self.observations if not seen.holds), None)

    def to_json(self) -> dict[str, Any]:
        """As `-o json` prints it."""
        return {
            "passed": self.passed,
            "seconds": round(self.seconds, 2),
            "observations": [seen.to_json() for seen in self.observations],
        }


class Mismatch(Exception):
    """An observation that does not hold: the check ends there, because what follows would only echo it."""

    def __init__(self, seen: Observation) -> None:
        super().__init__(f"{seen.what}: {seen.observed}")
        self.seen = seen


class See:
    """Given to a check: `see(objective, what, observed, expected, holds)` for each look.

    >>> see = See()
    >>> see(1, "answers", "10 of 10 are 200", "all are 200", True)
    >>> see.observations[0].holds
    True
    """

    def __init__(self) -> None:
        self.observations: list[Observation] = []

    def __call__(
        self, objective: int, what: str, observed: object, expected: object, holds: bool, meaning: str = ""
    ) -> None:
        """Note it. Raises Mismatch, which ends the check, when it does not hold."""
        seen = Observation(objective, what, str(observed), str(expected), bool(holds), "" if holds else meaning)
        self.observations.append(seen)
        if not holds:
            raise Mismatch(seen)
