"""A nursery of strands: connections live here, each without a task of trio's, and none outlives the block.

Owns the end of the strands that it starts: they have ended when its block has. Refuses to step them: `Driver` does.

A task of trio's a connection cost more than serving a request over it (a task and its context, four turns of trio's
loop, detached and attached again). So there is none until a strand needs trio (`Driver.in_trio`): then what it needs
runs in a task of its own, the **visit**, and the strand waits for it.

    strand --in_trio()--> parked .................................. woken: goes on with the result, or the error
                            `-> visit: trio task, function(*args) -'

When the nursery is cancelled, its strands see `Stopped` at their wait, again at each further one, as under trio they
would see Cancelled; one with a visit under way sees it when the visit, which is cancelled first, has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import trio

from tulle_data_plane.strands import PARK, Stopped, Strand

if TYPE_CHECKING:
    from tulle_data_plane.driver import Driver

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Nursery:
    """See `open_nursery`."""

    def __init__(self, driver: Driver, visits: trio.Nursery) -> None:
        self._driver = driver
        self._visits = visits
        self._strands: set[Strand] = set()
        self._cancelled = False
        self._emptied = trio.Event()

    def __len__(self) -> int:
        """Strands that have not ended."""
        return len(self._strands)

    def start(self, function: Callable[[*Ts], Coroutine[Any, Any, object]], *args: *Ts) -> None:
        """Run `function` as a strand. From a strand, or from trio. An error that it raises ends the nursery.

        It runs to its first wait, whatever happens: so what it is given to own is safe.
        """
        strand = Strand(None, function(*args))
        strand.owner = self
        strand.detached = True
        self._strands.add(strand)
        if self._cancelled:
            self.stop(strand)
        else:
            self._driver.wake(strand)

    def cancel(self) -> None:
        """Cancel all strands and their visits."""
        self._cancelled = True
        self._visits.cancel_scope.cancel()
        for strand in self._strands:
            self.stop(strand)

    def stop(self, strand: Strand) -> None:
        """Cancel one of them."""
        strand.raise_cancel = _stopped
        if strand.visit is not None:
            strand.visit.cancel()
        else:
            self._driver.wake(strand)

    def ended(self, strand: Strand, error: BaseException | None) -> None:
        """Told by the driver."""
        self._strands.discard(strand)
        # the wheel may hold the strand until its bucket comes up: then there is nothing to do, and meanwhile no frames
        strand.deadline = inf
        del strand.coroutine
        if error is not None and not isinstance(error, (Stopped, trio.Cancelled)):
            self._visits.start_soon(_raised, error)  # as a task's: trio ends the block with it
            self._driver.call_trio()
        if not self._strands:
            self._emptied.set()
            self._driver.call_trio()

    async def until_empty(self) -> None:
        """From trio: wait until all strands have ended."""
        while self._strands:
            self._emptied = trio.Event()
            await self._emptied.wait()

    async def visit(self, strand: Strand, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """From `strand`: run `function` under trio. See Driver.in_trio."""
        scope = strand.visit = trio.CancelScope()
        if strand.pending is not None or strand.raise_cancel is not None:
            scope.cancel()
        result: list[T] = []
        errors: list[BaseException] = []

        async def task() -> None:
            try:
                with scope:
                    result.append(await function(*args))
            except BaseException as error:
                errors.append(error)  # raised where the strand waits, and nowhere else
            finally:
                strand.detached = True
                self._driver.wake(strand)

        strand.detached = False  # nobody steps it before it is back
        self._visits.start_soon(task)
        try:
            await PARK  # an interruption that came meanwhile is raised here
        finally:
            strand.visit = None
        if errors:
            try:
                raise errors[0]
            finally:
                del errors  # or the error's traceback, which holds this frame, would be a cycle
        return result[0]


@asynccontextmanager
async def open_nursery(driver: Driver) -> AsyncIterator[Nursery]:
    """From trio. The block waits for all strands that were started; where it is left by an error or cancelled, they are
    cancelled first. The driver must run until then."""
    async with trio.open_nursery() as visits:
        nursery = Nursery(driver, visits)
        try:
            yield nursery
            await nursery.until_empty()
        finally:
            nursery.cancel()
            with trio.CancelScope(shield=True):
                await nursery.until_empty()


def _stopped() -> None:
    raise Stopped


async def _raised(error: BaseException) -> None:
    raise error
