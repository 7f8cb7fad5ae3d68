"""The driver: steps waiting connections without trio's scheduler, so that a wait costs one `send` and no task switch.

Owns one edge-triggered epoll set and who is stepped when. What strands are and wait for is in strands.py, deadlines in
deadlines.py. Refuses to know sockets' contents, protocols and configuration.

A strand is a coroutine that this file steps, while it only waits for sockets. One trio task, `Driver.serve`, waits for
the epoll set itself, and then steps whatever became ready. Under traffic it does not even go back to trio for the next
wait, but lingers for a millisecond; trio's other tasks get their turn every 5 ms, or at once where a strand has given
them something to do. There are two kinds:

- **A task's**, by `Driver.run`: the coroutine of an ordinary trio task is *detached* from trio
  (`trio.lowlevel.temporarily_detach_coroutine_object`), and attached again before it returns. Listeners are such.

    trio task --run()--> detached: strand --in_trio()--> reattached: trio task --> detached ... --> reattached, returns
                            |  waits: Watch (descriptor), Signal, deadline
                            `- stepped by serve()

- **One without a task**, which costs a hundredth: each connection, in a nursery of strands (nursery.py), so that its
  lifetime and cancellation are as structured as a task's; and what runs beside a connection (`Driver.beside`).

**A turn** has four phases: receive for all who wait for bytes, step all, send for all, and then what can wait until
the answers are on their way (`after`), such as telling exporters of them. A system call costs more than
its own time: what the processor has cached of this program, its address translations above all, is gone after it. So
a turn makes its calls one after the other, where they throw out nothing, and not each between two pieces of Python:
with 16 busy connections a request costs a third less. The strands' side of it is `TcpChannel.recv` and `ask`.

    epoll: 3 are ready --> recv recv recv --> step A, B, C --> send send send --> after --> epoll ...

Four rules, each learnt from a bug:
1. **Edges are remembered.** An edge-triggered set tells each readiness once. It is kept in `Watch.readable` and
   `writable` until a system call proves it false, or it would be lost while nobody waits.
2. **Only one thing runs a strand.** To wake one from anywhere is to put it on the ready queue (and, when the driver
   sleeps, to write its eventfd). Never step a strand from inside another.
3. **A strand that need not wait still gives way** (`turn`), or a bulk transfer between two fast peers runs alone.
4. **A task's strand ends as a trio task.** It reattaches before it returns or raises, and when trio cancels it, it is
   resumed with the Cancelled raised at its wait, so that `finally` blocks run where they were written.

What a strand may await: this file's waits, and other coroutines that do the same. A trio wait inside a strand (a
policy that forgot to say `uses_trio`) is caught in `_step` and answered with an error that says so.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from math import inf
from typing import Any, TypeVar, TypeVarTuple

import trio

from tulle_data_plane.clock import now_by_trio
from tulle_data_plane.deadlines import Deadline, Expired, Wheel
from tulle_data_plane.strands import PARK, PARKED, Child, Signal, Stopped, Strand, Watch

__all__ = ["PARKED", "Child", "Deadline", "Driver", "Expired", "Signal", "Stopped", "Strand", "Watch"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

READ_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
WRITE_EVENTS = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
HANGUP_EVENTS = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

LINGER = 0.001
"""Seconds that the driver waits for descriptors by itself before it goes back to trio, whose way of waiting costs ten
times as much. Under traffic the next event nearly always comes sooner."""

TURN = 0.005
"""Seconds after which trio's other tasks get a turn, however much there is to do. Where a strand needs trio (it ends,
or crosses to it), they get it at once: these two bound only how late trio's own timers and descriptors may be."""

MOST_EVENTS = 32
"""Events taken from the kernel at a time, hence in one turn: enough that calls in a row pay, and nothing that is to be
sent waits for more than 31 others."""

PASSES = range(2)
"""Of a turn: strands that were woken by others, such as a new connection's, are stepped in the same turn; those that
they wake are not, since descriptors come first."""

_LEAVING = object()  # what a strand yields, besides PARKED: "trio runs me now, forget me"


class Driver:
    """Steps strands. One a process (or test); `serve` must be running for anything else to work."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.watches: dict[int, Watch] = {}
        self.wheel = Wheel(self)
        self.outbox: list[Watch] = []  # those with something to be sent at the end of the turn (TcpChannel.ask)
        self._after: list[Callable[[], None]] = []
        self.steps = 0  # of strands, ever: for the curious, and for tests
        self.now: Callable[[], float] = trio.current_time  # trio's clock, seconds; bound more directly by `serve`
        self.time = 0.0  # ... as of the batch that is being handled: good enough for deadlines, and free
        self.current: Strand | None = None  # the strand that is running
        self._ready: deque[Strand] = deque()
        self._working = False
        self._trio_is_due = False  # a task waits for its turn
        self._in_trio = 0  # strands that are there for a while (in_trio)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll.register(self._wake_fd, select.EPOLLIN)
        self._nursery: trio.Nursery | None = None

    # --- the loop --------------------------------------------------------------------------------------

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the driver until cancelled; strands that `spawn` started are cancelled with it."""
        # the loop outlives the strands that were spawned: only it can step them to their end when they are cancelled
        async with trio.open_nursery() as outer:
            last = trio.CancelScope(shield=True)
            self.now = now_by_trio()
            self.time = self.now()
            outer.start_soon(self._loop, last)
            try:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self.wheel.turn)
                    task_status.started()
                    await trio.sleep_forever()
            finally:
                self._nursery = None
                last.cancel()

    async def _loop(self, scope: trio.CancelScope) -> None:
        with scope:
            await self._step_for_ever()

    async def _step_for_ever(self) -> None:
        epoll_fd = self.epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(epoll_fd)
            self._working = True
            try:
                self._work()
            finally:
                self._working = False
            if self._ready:
                os.eventfd_write(self._wake_fd, 1)

    def _work(self) -> None:
        """Handle what is ready, and what becomes ready within LINGER; at most for TURN, and not when trio is due."""
        poll, dispatch, ready = self.epoll.poll, self._dispatch, self._ready
        self._trio_is_due = False
        end = self.now() + TURN
        while True:
            patient = not (ready or self._trio_is_due or self._in_trio)
            events = poll(LINGER if patient else 0, MOST_EVENTS)
            if not events and not ready:
                return
            dispatch(events)
            if self._trio_is_due or self.time >= end:
                return

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        """A turn."""
        watches, ready, step = self.watches, self._ready, self._step
        self.time = self.now()
        for fd, event in events:
            watch = watches.get(fd)
            if watch is None:
                if fd == self._wake_fd:
                    os.eventfd_read(fd)
                continue
            # rule 1: remember first, wake second
            if event & HANGUP_EVENTS:
                watch.hung_up = True
            if event & READ_EVENTS:
                watch.readable = True
                strand = watch.reader
                if strand is not None:
                    if watch.receive is not None:
                        watch.take()
                    if not strand.queued:
                        strand.queued = True
                        ready.append(strand)
            if not watch.writable and event & WRITE_EVENTS:
                watch.writable = True
                strand = watch.writer
                if strand is not None and not strand.queued:
                    strand.queued = True
                    ready.append(strand)
        for _ in PASSES:
            for _ in range(len(ready)):
                strand = ready.popleft()
                strand.queued = False
                if strand.detached:
                    step(strand)
        if self.outbox:
            for watch in self.outbox:
                watch.flush()
            self.outbox.clear()
        if self._after:
            after, self._after = self._after, []
            for function in after:
                function()

    def _step(self, strand: Strand) -> None:
        self.current = strand
        self.steps += 1
        try:
            if strand.pending is None and strand.raise_cancel is None:
                said = strand.coroutine.send(None)
            elif strand.raise_cancel is not None and strand.owner is not None and not _begun(strand):
                # cancelled before its first step: as under trio it runs to its first wait, and closes what it owns
                said = strand.coroutine.send(None)
            else:
                said = strand.coroutine.throw(self._interruption(strand))
            if said is PARKED and strand.raise_cancel is None:
                return
            while said is not _LEAVING:
                if said is PARKED:
                    if strand.raise_cancel is None:
                        return
                    # trio has cancelled the task, and it waits all the same: as under trio, Cancelled again
                    said = strand.coroutine.throw(self._interruption(strand))
                    continue
                said = strand.coroutine.throw(
                    RuntimeError(
                        "a trio function was awaited on the fast path, where only the Runtime's and the driver's waits "
                        "work; a policy that needs trio says `uses_trio = True`"
                    )
                )
        except StopIteration:
            if strand.owner is None:  # rule 4
                raise RuntimeError(f"{strand.task!r} returned while detached; Driver.run reattaches first") from None
            strand.detached = False
            strand.owner.ended(strand, None)
        except BaseException as error:
            if strand.owner is None or isinstance(error, KeyboardInterrupt):
                raise
            strand.detached = False
            strand.owner.ended(strand, error)
        finally:
            self.current = None

    @staticmethod
    def _interruption(strand: Strand) -> BaseException:
        pending, strand.pending = strand.pending, None
        if strand.raise_cancel is not None:
            try:
                strand.raise_cancel()
            except (trio.Cancelled, Stopped) as cancelled:
                return cancelled
        assert pending is not None
        return pending

    # --- entering and leaving ------------------------------------------------------------------------------

    def current_strand(self) -> Strand:
        """The strand that is running. Raises RuntimeError outside of one."""
        if self.current is None:
            raise RuntimeError("only a strand can wait here: call through Driver.run")
        return self.current

    async def run(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run `function` as a strand of the calling trio task, and come back to trio with its result or error.

        Cancelling the task raises Cancelled at the strand's wait. Must be called from trio, not from a strand.
        """
        task = trio.lowlevel.current_task()
        strand = Strand(task, task.coro)
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            await self._detach(strand)  # a cancellation may already arrive here, and then it must come back, too
            return await function(*args)
        finally:
            strand.deadline = inf
            await self._reattach(strand)
            # the wheel may hold the strand until its bucket comes up: not the task, its coroutine and their frames
            del strand.task, strand.coroutine

    async def in_trio(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """From a strand: run `function` under trio, where it may sleep, open nurseries and so on; then go on here."""
        strand = self.current_strand()
        if strand.owner is not None:
            self._in_trio += 1
            self._trio_is_due = True
            try:
                return await strand.owner.visit(strand, function, *args)  # type: ignore[no-any-return]
            finally:
                self._in_trio -= 1
        await self._reattach(strand)
        self._in_trio += 1
        try:
            with trio.CancelScope() as scope:
                strand.visit = scope
                if strand.pending is not None:
                    scope.cancel()
                result = await function(*args)
        finally:
            self._in_trio -= 1
            strand.visit = None
            # the strand's owner expects to be detached when an error passes through it, too
            await self._detach(strand)
        if strand.pending is not None or scope.cancelled_caught:
            raise self._interruption(strand)
        return result

    def off_trio(self, function: Callable[[*Ts], Awaitable[T]]) -> Callable[[*Ts], Awaitable[T]]:
        """`function`, which waits as strands do, made callable from trio: the way back inside `in_trio`."""

        async def crossed(*args: *Ts) -> T:
            return await self.run(function, *args)

        return crossed

    async def _detach(self, strand: Strand) -> None:
        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            strand.raise_cancel = raise_cancel
            self.wake(strand)
            return trio.lowlevel.Abort.FAILED  # we resume the coroutine, trio must not

        strand.detached = True
        self.wake(strand)
        await trio.lowlevel.temporarily_detach_coroutine_object(abort)

    async def _reattach(self, strand: Strand) -> None:
        strand.detached = False  # a deadline may still pass before trio runs it: then nobody may step it
        self._trio_is_due = True
        strand.raise_cancel = None  # trio raises it from now on
        if strand.queued:
            self._ready.remove(strand)
            strand.queued = False
        assert strand.task is not None
        await trio.lowlevel.reattach_detached_coroutine_object(strand.task, _LEAVING)

    # --- waking ----------------------------------------------------------------------------------------------

    def wake(self, strand: Strand) -> None:
        """Have a strand stepped soon. Waking one that need not be is harmless: waits check what they wait for."""
        if not strand.queued:
            strand.queued = True
            self._ready.append(strand)
            if not self._working:
                os.eventfd_write(self._wake_fd, 1)

    def interrupt(self, strand: Strand, error: BaseException) -> None:
        """Raise `error` at the strand's wait; if trio runs it now, cancel what it does there first."""
        strand.pending = error
        if strand.visit is not None:
            strand.visit.cancel()
        else:
            self.wake(strand)

    def deadline(self, seconds: float, error: Exception | str = "time ran out") -> Deadline:
        """A block that may take `seconds` (> 0), rounded up to TICK. Strands only.

        `error`: raised out of the block when they have passed; a string becomes a TimedOut, made only then.
        """
        return Deadline(self, seconds, error)

    async def sleep(self, seconds: float) -> None:
        """Wait, rounded up to TICK. Strands only."""
        if seconds > 0:
            try:
                with Deadline(self, seconds + self.now() - self.time, _Woken()):  # never early
                    await Signal(self).wait()
            except _Woken:
                pass

    async def turn(self) -> None:
        """Let others run. For loops that might never have to wait, such as moving a body between two fast peers."""
        strand = self.current_strand()
        self.wake(strand)
        await PARK

    # --- children ----------------------------------------------------------------------------------------------

    def beside(self, function: Callable[[*Ts], Coroutine[Any, Any, object]], *args: *Ts) -> Child:
        """Run `function` as a child, beside the calling strand, which must see to its end. Its error is kept there."""
        return Child(self, function(*args))

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run `function`, which must not raise, as a strand with a task of its own. It ends with the driver."""
        assert self._nursery is not None, "Driver.serve is not running"
        self._nursery.start_soon(self.run, function, *args)
        self._trio_is_due = True

    def call_trio(self) -> None:
        """From a strand: let trio run soon, since there is a task that waits for its turn."""
        self._trio_is_due = True

    def after(self, function: Callable[[], None]) -> None:
        """Call `function`, which must not raise, at the end of this turn, after the sends; outside of one, now."""
        if self._working:
            self._after.append(function)
        else:
            function()

    def close(self) -> None:
        """Release the driver's own descriptors, after `serve` has ended."""
        self.epoll.close()
        os.close(self._wake_fd)


def _begun(strand: Strand) -> bool:
    return bool(strand.coroutine.cr_suspended)  # type: ignore[attr-defined]  # every coroutine has it


class _Woken(Exception):
    """A sleep is over."""
