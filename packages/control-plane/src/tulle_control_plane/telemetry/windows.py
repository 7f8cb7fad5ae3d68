"""Counts over the last seconds and minutes, in bounded memory.

Owns time: two rings of slots, a fine one for the last minute and a coarse one for the last ten. A window is answered
from the finest ring that reaches back so far, and says how many seconds its slots really cover: a rate divides by
that, so that it is exact although slots are not cut at the window's edge. `now` is monotonic seconds, passed in.

Fine here: a report is entered when it arrives, so one that was held up (a control plane restarted) shows as a spike;
a production mesh would carry timestamps and a time-series database.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tulle_control_plane.telemetry.figures import Counts

SHORTEST = 1.0
LONGEST = 600.0


@dataclass(frozen=True)
class _Resolution:
    width: float  # seconds a slot
    slots: int

    @property
    def reach(self) -> float:
        return self.width * self.slots


_RESOLUTIONS = (_Resolution(2.0, 31), _Resolution(20.0, 31))
FINE_REACH = 60.0


class Window:
    """One sum for each slot of time, for one thing that is counted."""

    __slots__ = ("_rings", "last")

    def __init__(self) -> None:
        # (slot's number, counts), oldest first; slots in which nothing happened are not there
        self._rings: tuple[deque[tuple[int, Counts]], ...] = tuple(deque(maxlen=r.slots) for r in _RESOLUTIONS)
        self.last = float("-inf")

    def at(self, now: float) -> list[Counts]:
        """The counts to add to, now: one for each resolution."""
        self.last = now
        found = []
        for ring, resolution in zip(self._rings, _RESOLUTIONS, strict=True):
            slot = int(now // resolution.width)
            if not ring or ring[-1][0] < slot:
                ring.append((slot, Counts()))
            found.append(ring[-1][1])
        return found

    def add_to(self, total: Counts, span: Span) -> None:
        """Add what happened within `span` to `total`."""
        for slot, counts in reversed(self._rings[span.ring]):
            if slot < span.first:
                break
            total.merge(counts)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that slots cover exactly: which ring, from which slot on, and how long it is."""

    ring: int
    first: int
    seconds: float


def span(window: float, now: float, since: float) -> Span:
    """The last `window` seconds (SHORTEST to LONGEST), or all the time since `since` where that is less.

    Begins with the slot that `now - window` lies in, so it covers the window and at most one slot more. Raises
    ValueError for a window that is too short or too long.
    """
    if not SHORTEST <= window <= LONGEST:
        raise ValueError(f"a window is between {SHORTEST:g} s and {LONGEST:g} s, got {window:g} s")
    ring = 0 if window <= FINE_REACH else 1
    width = _RESOLUTIONS[ring].width
    first = int((now - window) // width)
    begins = max(first * width, since)
    return Span(ring, first, max(now - begins, SHORTEST))
