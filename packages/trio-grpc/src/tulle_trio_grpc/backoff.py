"""How long to wait before trying again: exponential, with full jitter.

Pure: randomness is passed in, and nobody sleeps here. Full jitter (a delay drawn evenly from zero to the bound) spreads
a crowd of clients better than a small one; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """The bound starts at `first` seconds, grows by `factor` with every failure, and never exceeds `longest`."""

    first: float = 0.2
    factor: float = 2.0
    longest: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.first <= self.longest and self.factor >= 1):
            raise ValueError(f"{self}: needs 0 < first <= longest (seconds) and factor >= 1")

    def bound(self, failures: int) -> float:
        """The longest delay, in seconds, after this many failures in a row (1 for the first)."""
        try:
            return min(self.longest, self.first * self.factor ** (failures - 1))
        except OverflowError:  # thousands of failures
            return self.longest

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds to wait; `random` gives numbers from 0 up to, but not including, 1."""
        return random() * self.bound(failures)
