"""What to do next, and after which pause. Pure: outcomes in, steps out; chance is passed in.

        +--------------------- Gone, Absent, NotAnObject ---------------------+
        v                                                                     |
      LIST --listed--> WATCH --ended--> WATCH (from the last version known)   |
        ^  failed: LIST after a growing pause;  failed watch: WATCH after one |
        +---------------------------------------------------------------------+

Every way back to a step that just failed has a pause in it: nothing here can spin.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

FIRST, LONGEST = 0.5, 30.0  # seconds
ABSENT = 10.0
"""How often to look whether a kind that the cluster does not have has come."""
ABSENT_TIMES = 3
"""So many looks in a row must find the kind gone before its objects are: an API server that starts may not know yet."""
WATCH_SECONDS = (240, 480)
"""A watch is asked to end by itself within these: a random time, so that not all kinds and replicas ask at once."""
SHORT_WATCH = 1.0
"""One that ended sooner, and told nothing, is taken for a failure."""
HIGHEST_RETRY_AFTER = 120.0


@dataclass(slots=True)
class Course:
    """See above. `chance` gives numbers from 0 to 1."""

    chance: random.Random
    failures: int = 0
    absences: int = 0

    def watch_seconds(self) -> int:
        """How long the next watch shall last."""
        low, high = WATCH_SECONDS
        return low + int(self.chance.random() * (high - low))

    def listed(self) -> None:
        """A list arrived."""
        self.failures = self.absences = 0

    def told(self) -> None:
        """A watch brought an event."""
        self.failures = 0

    def ended(self, seconds: float, events: int) -> float:
        """A watch ended without an error after so long: seconds until the next."""
        return 0.0 if events or seconds >= SHORT_WATCH else self.failed()

    def gone(self) -> float:
        """410: list again. The first time at once, but a server that says so for ever must not be asked for ever."""
        self.failures += 1
        return 0.0 if self.failures == 1 else self._pause(self.failures - 1)

    def failed(self, retry_after: float = 0.0) -> float:
        """Something failed: seconds until the same is tried again. `retry_after` is the server's wish (RFC 9110)."""
        self.failures += 1
        return max(min(retry_after, HIGHEST_RETRY_AFTER), self._pause(self.failures))

    def absent(self) -> tuple[float, bool]:
        """The kind is not there: seconds until the next look, and whether its objects are to be taken for gone."""
        self.absences += 1
        self.failures = 0
        return ABSENT * self._jitter(), self.absences >= ABSENT_TIMES

    def _pause(self, times: int) -> float:
        return float(min(FIRST * 2 ** min(times - 1, 16), LONGEST)) * self._jitter()

    def _jitter(self) -> float:
        return 0.75 + self.chance.random() / 2
