"""Splicing: the kernel moves bytes from one socket to another, and they never enter this process (splice(2)).

Owns pipes and the moving through them. Refuses to know ends and resets: whoever moves bytes so reads the source as
usual before and afterwards, and learns these there. The copying way, which does the same in Python, is relay.py's.

    source socket --splice--> pipe --splice--> sink socket      the pipe carries references to the kernel's pages

A pipe is held only while bytes are on their way: never while waiting for the source, since a relay may be idle for
hours, but while waiting for a slow sink, since what is in the pipe is in no socket any more.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable

from tulle_data_plane.errors import SlowReader
from tulle_data_plane.shell.channel import TcpChannel
from tulle_data_plane.shell.descriptors import refuse_at

CAPACITY = 1 << 20
"""Bytes a pipe is asked to hold: what an unprivileged process may ask for (/proc/sys/fs/pipe-max-size)."""

LEAST = 1 << 16
"""A smaller pipe is not worth its calls. The kernel gives such ones to a user who has very many pipes (pipe(7))."""

FEW = 1 << 14
"""Bytes that are copied with less work than splicing them takes."""

MOST = 16
"""Pipes at once. The kernel counts the pipes of all processes of one user, and on a node all proxies are one user:
pipe-user-pages-soft allows 64 MiB together, so that four busy proxies fit."""

KEPT = 4
"""Pipes that stay open while nobody uses them."""


class Pipe:
    """An empty pipe, to be moved through."""

    __slots__ = ("capacity", "inlet", "outlet")

    def __init__(self, ceiling: int) -> None:
        """Raises OSError where there are no descriptors below `ceiling`, or no pipe of a useful size; leaks nothing."""
        self.outlet, self.inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            refuse_at(max(self.outlet, self.inlet), ceiling)
            try:
                self.capacity: int = fcntl.fcntl(self.inlet, fcntl.F_SETPIPE_SZ, CAPACITY)
            except PermissionError:  # the user's share is used up; the size that it has may do
                self.capacity = fcntl.fcntl(self.inlet, fcntl.F_GETPIPE_SZ)
            if self.capacity < LEAST:
                raise OSError(f"a pipe of {self.capacity} bytes")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Once."""
        os.close(self.outlet)
        os.close(self.inlet)


class Pipes:
    """The pipes of one proxy."""

    def __init__(self, ceiling: int = sys.maxsize, most: int = MOST) -> None:
        """`ceiling`: of descriptors, see descriptors.py. `most`: pipes at once; 0: everything is copied."""
        self._ceiling = ceiling
        self._most = most
        self._kept: list[Pipe] = []
        self._closed = False
        self.used = 0

    def take(self) -> Pipe | None:
        """An empty pipe; None where none can be had. To be given back."""
        if self.used >= self._most:
            return None
        try:
            pipe = self._kept.pop() if self._kept else Pipe(self._ceiling)
        except OSError:
            return None
        self.used += 1
        return pipe

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """`empty`: nothing is left in it, so that it can be used again."""
        self.used -= 1
        if empty and len(self._kept) < KEPT and not self._closed:
            self._kept.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        """Close what is kept now, and what is given back later as it comes."""
        self._closed = True
        while self._kept:
            self._kept.pop().close()


async def splice(source: TcpChannel, sink: TcpChannel, pipes: Pipes, moved: Callable[[int], None]) -> None:
    """Move bytes until `source` brings few of them, or something else than bytes; at once, when no pipe is to be had.

    As a strand. Returning says nothing about `source`: `recv` tells whether it has ended, or holds what splice passes
    by (a byte sent as urgent). `moved` is told what the sink's kernel has taken. Raises OSError for a broken channel,
    and SlowReader; then, and on cancel, what is in the pipe is lost.
    """
    while (pipe := pipes.take()) is not None:
        if await _burst(source, sink, pipes, pipe, moved) < FEW or source.stale():
            return
        await source.watch.wait_readable()


async def splice_some(
    source: TcpChannel,
    sink: TcpChannel,
    pipes: Pipes,
    most: int,
    taken: Callable[[int], None],
    moved: Callable[[int], None],
) -> int:
    """Move what there is at `source` now, but no byte more than `most`: what follows is another message's. How many
    bytes it was; 0 as well when no pipe is to be had.

    As `splice`; `taken` is told what has left the source, be it lost afterwards or not, and SourceBroke says whose
    error it is.
    """
    pipe = pipes.take()
    return 0 if pipe is None else await _burst(source, sink, pipes, pipe, moved, most, taken)


class SourceBroke(OSError):
    """It was the source."""


async def _burst(
    source: TcpChannel,
    sink: TcpChannel,
    pipes: Pipes,
    pipe: Pipe,
    moved: Callable[[int], None],
    most: int = sys.maxsize,
    taken: Callable[[int], None] | None = None,
) -> int:
    """Move what there is at `source` now, and give `pipe` back. How many bytes it was."""
    total, empty, in_a_row = 0, True, 0
    turn = source.watch.driver.turn
    try:
        if source.watch.taken is not None:  # received already, for a wait that was interrupted: to be read first
            return 0
        while True:
            try:
                # the pipe is empty, so that "would block" is the source's word
                size = os.splice(
                    source.socket.fileno(), pipe.inlet, min(pipe.capacity, most), flags=os.SPLICE_F_NONBLOCK
                )
            except BlockingIOError:
                return total
            except OSError as error:
                raise SourceBroke(*error.args) from error
            if not size:
                return total
            empty = False
            if taken is not None:
                taken(size)
            await _drain(pipe, size, sink, moved)
            empty = True
            total += size
            most -= size
            if not most:
                return total
            in_a_row += size
            if in_a_row >= CAPACITY:  # there may be more at once: others first (the driver's third rule)
                in_a_row = 0
                await turn()
    finally:
        pipes.give_back(pipe, empty=empty)


async def _drain(pipe: Pipe, size: int, sink: TcpChannel, moved: Callable[[int], None]) -> None:
    """Send what is in the pipe, all `size` bytes of it."""
    watch = sink.watch
    while size:
        try:
            sent = os.splice(pipe.outlet, sink.socket.fileno(), size, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            watch.writable = False  # what the kernel did not take, it will announce
            with watch.driver.deadline(sink.patience, SlowReader()):
                await watch.wait_writable()
        else:
            size -= sent
            moved(sent)
