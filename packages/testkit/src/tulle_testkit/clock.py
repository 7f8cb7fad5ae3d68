"""Time that passes when told, for code that takes a clock: `now: Callable[[], float]`.

For code that sleeps on trio use trio.testing.MockClock(autojump_threshold=0) instead.
"""

from __future__ import annotations


class FakeClock:
    """Call it for the time. Starts away from 0, so that "never" (0.0) and "at the start" differ."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.time

    def advance(self, seconds: float) -> float:
        """Let `seconds` pass; returns the time then. ValueError for a step back: a monotonic clock takes none."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock never goes back, asked for {seconds} s")
        self.time += seconds
        return self.time
