"""Strands: coroutines that wait for descriptors, signals and deadlines without a task switch; and what they wait for.

Owns what is known of a strand and of a descriptor. Refuses to step anything: that is `Driver`'s, who is told by `wake`.
The rules are in driver.py; the first of them, that an edge is remembered, is kept here, in `Watch`.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Coroutine, Generator
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import trio

from tulle_data_plane.deadlines import NEVER

if TYPE_CHECKING:
    from tulle_data_plane.driver import Driver

RECEIVE_SIZE = 65536
"""Bytes asked of one recv: more than a head ever is, and a good piece of a body."""

EDGE = select.EPOLLET | select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP

PARKED = object()
"""What a strand yields to the driver: "I have arranged for somebody to wake me". It must look again when it wakes."""


class _Park:
    """`await PARK` yields PARKED, once. A tuple's iterator does it, which is cheaper than a generator."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return iter(_ONCE)  # type: ignore[return-value]  # an iterator is all that `await` asks for


_ONCE = (PARKED,)
PARK = _Park()


class Owner(Protocol):
    """Who started a strand that has no task of trio's, and is told of its end."""

    def ended(self, strand: Strand, error: BaseException | None) -> None:
        """It has returned (None) or raised."""

    async def visit(self, strand: Strand, function: Callable[..., Any], *args: Any) -> Any:
        """It wants `function` to run under trio."""


class Strand:
    """A detached coroutine, and what must reach it at its next step."""

    __slots__ = (
        "coroutine", "covered", "deadline", "detached", "owner", "pending", "queued", "raise_cancel", "task", "tick",
        "visit",
    )  # fmt: skip

    def __init__(self, task: trio.lowlevel.Task | None, coroutine: Coroutine[Any, Any, object]) -> None:
        self.task = task
        self.coroutine = coroutine
        self.owner: Owner | None = None  # set where there is no task
        self.detached = False  # ours to step; else trio's, from the moment that it begins to leave
        self.queued = False  # on the ready queue
        self.pending: BaseException | None = None  # raised at its wait, once
        self.raise_cancel: Callable[[], Any] | None = None  # it was cancelled: raised at each wait from now on
        self.visit: trio.CancelScope | None = None  # set while trio runs what it waits for (Driver.in_trio)
        self.deadline = inf  # trio's clock, seconds: the nearest of all Deadline blocks it is in
        self.tick = NEVER  # the bucket of the wheel that it is in
        self.covered = inf  # deadlines after this moment need no other entry on the wheel


class Watch:
    """One descriptor's readiness. At most one strand waits for each direction.

    Where the descriptor is a channel's, also what the driver has received and is to send for the strand that waits
    there (see "A turn" in driver.py): nothing that was taken is lost when the strand is interrupted meanwhile.
    """

    __slots__ = (
        "closed", "driver", "fd", "hung_up", "readable", "reader", "receive", "refused", "send", "taken", "unsent",
        "writable", "writer",
    )  # fmt: skip

    def __init__(self, driver: Driver, fd: int) -> None:
        """Start watching `fd`, which must be non-blocking. End with `close`, before the descriptor is closed."""
        self.driver = driver
        self.fd = fd
        self.readable = False
        self.writable = True  # optimistic: the first write finds out
        self.hung_up = False  # the peer has ended its side: a short read proves nothing any more
        self.closed = False
        self.reader: Strand | None = None
        self.writer: Strand | None = None
        self.receive: Callable[[int], bytes] | None = None  # set while the reader waits for bytes, by any means
        self.taken: bytes | OSError | None = None  # what it gave
        self.send: Callable[[bytes], int] | None = None
        self.unsent: bytes | None = None  # of what is to be sent at the end of the turn
        self.refused: OSError | None = None  # why none of it could be
        driver.watches[fd] = self
        driver.epoll.register(fd, EDGE)

    async def wait_readable(self) -> None:
        """Wait until `readable`. Whoever reads until the descriptor is dry sets it to False."""
        self.reader = self.driver.current_strand()
        try:
            while not self.readable:
                await PARK
        finally:
            self.reader = None

    async def wait_writable(self) -> None:
        """Wait until `writable`. Whoever writes until the descriptor is full sets it to False."""
        self.writer = self.driver.current_strand()
        try:
            while not self.writable:
                await PARK
        finally:
            self.writer = None

    def take(self) -> None:
        """Receive for the reader, who waits for bytes and is about to be stepped. Told by the driver."""
        assert self.receive is not None
        try:
            data = self.taken = self.receive(RECEIVE_SIZE)
        except BlockingIOError:
            self.readable = False
        except OSError as error:
            self.taken = error
        else:
            # A short read leaves the socket dry, so the next wait needs no failing call first. But when the peer has
            # ended its side, that edge may be spent: then only b"" proves the end.
            if len(data) < RECEIVE_SIZE and not self.hung_up:
                self.readable = False

    def post(self, data: bytes) -> None:
        """Have `data` sent at the end of the turn, while the reader waits."""
        self.unsent = data
        self.driver.outbox.append(self)

    def flush(self) -> None:
        """Send what is `unsent`, as far as it goes; the reader sees to the rest. Told by the driver."""
        data = self.unsent
        if data is None:  # the reader was interrupted, and has done it itself
            return
        assert self.send is not None
        try:
            sent = self.send(data)
            if sent == len(data):
                self.unsent = None
                return
            self.unsent = data[sent:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.refused = error
        if self.reader is not None:
            self.driver.wake(self.reader)

    def close(self, *, unregister: bool = True) -> None:
        """Stop watching. Whoever still waits is woken and finds the descriptor closed (OSError at its next call).

        `unregister=False`: the descriptor is closed right after, by which the kernel drops it from the set.
        """
        if self.closed:
            return
        self.closed = self.readable = self.writable = self.hung_up = True
        # a descriptor's number may already be somebody else's when two things close in one batch
        if self.driver.watches.get(self.fd) is self:
            del self.driver.watches[self.fd]
            if unregister:
                try:
                    self.driver.epoll.unregister(self.fd)
                except OSError:
                    pass  # closed already
        for strand in (self.reader, self.writer):
            if strand is not None:
                self.driver.wake(strand)


class Signal:
    """Something that strands wait for and anybody sets, once."""

    __slots__ = ("driver", "is_set", "waiting")

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.is_set = False
        self.waiting: list[Strand] = []

    def set(self) -> None:
        """Wake everybody who waits, now and later."""
        self.is_set = True
        for strand in self.waiting:
            self.driver.wake(strand)
        self.waiting.clear()

    async def wait(self) -> None:
        """Wait until set."""
        strand = self.driver.current_strand()
        while not self.is_set:
            self.waiting.append(strand)
            try:
                await PARK
            except BaseException:
                if strand in self.waiting:
                    self.waiting.remove(strand)
                raise


class Stopped(BaseException):
    """Raised at the wait of a strand that has no task: it was cancelled."""


class Child:
    """A strand that somebody started beside their own, without a task of its own: so it costs a hundredth of one, and
    may not go to trio. Whoever starts one ends it: `cancel`, then `done`."""

    __slots__ = ("_driver", "_strand", "done", "error")

    def __init__(self, driver: Driver, coroutine: Coroutine[Any, Any, object]) -> None:
        self._driver = driver
        self._strand = Strand(None, coroutine)
        self._strand.owner = self
        self._strand.detached = True
        self.done = Signal(driver)
        self.error: BaseException | None = None  # what it raised, once done
        driver.wake(self._strand)

    def cancel(self) -> None:
        """Cancel it; `done` is set when it has ended. Harmless when it has ended already."""
        if not self.done.is_set:
            self._driver.interrupt(self._strand, Stopped())

    async def visit(self, strand: Strand, function: Callable[..., Any], *args: Any) -> Any:
        """Refuse."""
        raise RuntimeError("a child has no task in trio; let the strand that started it cross")

    def ended(self, strand: Strand, error: BaseException | None) -> None:
        """Told by the driver."""
        if not isinstance(error, Stopped):
            self.error = error
        self.done.set()
