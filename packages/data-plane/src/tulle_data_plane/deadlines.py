"""Deadlines: one coarse wheel for all strands, so that a request pays no timer of its own.

Owns when a strand is interrupted because its time is up. Refuses to know descriptors; `Driver` steps what it wakes.
"""

from __future__ import annotations

import heapq
from math import ceil, inf
from typing import TYPE_CHECKING

import trio
from tulle_plugin_api import TimedOut

if TYPE_CHECKING:
    from tulle_data_plane.driver import Driver, Strand

TICK = 0.05
"""Seconds. Deadlines are rounded up to a multiple of this."""

NEVER = 1 << 62  # ticks

MOST_AT_ONCE = 64
"""Strands looked at in one go. Thousands may expire in one tick, and what each then does takes a while."""


class Expired(BaseException):
    """The strand's deadline passed. Turned into the right error by the Deadline block that owns that moment."""


class Deadline:
    """`with driver.deadline(2.0, error):` raises `error` out of the block when 2 s have passed. Blocks nest.

    One may be entered again and again, one time after another: the seconds begin anew.
    """

    __slots__ = ("_at", "_driver", "_error", "_outer", "_seconds", "_strand")

    def __init__(self, driver: Driver, seconds: float, error: Exception | str) -> None:
        self._driver = driver
        self._seconds = seconds
        self._error = error

    def __enter__(self) -> None:
        driver = self._driver
        strand = self._strand = driver.current or driver.current_strand()
        at = self._at = driver.time + self._seconds
        outer = self._outer = strand.deadline
        if at < outer:
            strand.deadline = at
            if at <= strand.covered:
                driver.wheel.arm(strand)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        strand, outer = self._strand, self._outer
        strand.deadline = outer
        if outer < inf and strand.tick == NEVER:
            self._driver.wheel.arm(strand)
        if self._at >= outer:
            return  # an outer block's moment comes first: it is that block's to report
        if kind is Expired:
            failure = TimedOut(self._error or "time ran out") if isinstance(self._error, str) else self._error
            try:
                raise failure from None
            finally:
                # The error's traceback holds this frame, and this frame the error: a cycle that would keep every
                # frame of the strand until the next full collection, which a proxy at rest never makes.
                del self, error, trace, failure
        if strand.pending.__class__ is Expired:
            strand.pending = None  # it expired, but the block had already been left


class Wheel:
    """Strands by the tick in which their deadline falls.

    A strand has one valid entry, in a bucket no later than its deadline. A deadline that moves later leaves the entry
    where it is: when that bucket comes up, the strand is entered again, or dropped if it has no deadline any more. One
    that moves earlier makes a new entry, and the old one is known by its tick to be void. So a request sets and clears
    a deadline with two stores and a comparison, and a keep-alive connection costs one entry every few seconds.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._buckets: dict[int, list[Strand]] = {}
        self._order: list[int] = []  # heap of the buckets' ticks
        self._sleep = trio.CancelScope()

    def arm(self, strand: Strand) -> None:
        """See that the strand is looked at by its deadline."""
        tick = ceil(strand.deadline / TICK)
        if tick >= strand.tick:
            return
        strand.tick, strand.covered = tick, (tick - 1) * TICK
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = []
            heapq.heappush(self._order, tick)
            if self._order[0] == tick:
                self._sleep.deadline = tick * TICK
        bucket.append(strand)

    async def turn(self) -> None:
        """Expire strands for ever, on trio's clock. Cancelled with the driver."""
        while True:
            with trio.CancelScope(deadline=self._order[0] * TICK if self._order else inf) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            while self._order and self._order[0] * TICK <= now:
                tick = heapq.heappop(self._order)
                for number, strand in enumerate(self._buckets.pop(tick), 1):
                    if number % MOST_AT_ONCE == 0:  # a wave: the others have their turn in between
                        await trio.lowlevel.checkpoint()
                    if strand.tick != tick:
                        continue  # void
                    strand.tick, strand.covered = NEVER, inf
                    if strand.deadline <= now:
                        self._driver.interrupt(strand, Expired())
                    elif strand.deadline < inf:
                        self.arm(strand)
