"""Lines to stdout, without ever making a request wait for whoever reads them.

Owns a bounded queue. Written in batches by a task; what a slow reader does not take is dropped and counted.
"""

from __future__ import annotations

import os
import select
from collections import deque

import trio

MAX_QUEUED = 1 << 20
"""Bytes."""
PIECE = 4096
"""A pipe that poll() calls writable takes this much without blocking (PIPE_BUF)."""
INTERVAL = 0.1  # seconds


class Lines:
    """`write` queues a line; `run` writes the queue out."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._queue: deque[bytes] = deque()
        self._size = 0
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """Queue one line (a line feed is added if it has none)."""
        if self._size > MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(line if line.endswith(b"\n") else line + b"\n")
        self._size += len(line)

    async def run(self) -> None:
        """Write what is queued, a few times a second, until cancelled; then once more."""
        try:
            while True:
                await trio.sleep(INTERVAL)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        """Write as much as the reader takes now."""
        if not self._queue:
            return
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        data = b"".join(self._queue)
        self._queue.clear()
        at = 0
        try:
            while at < len(data) and poll.poll(0):
                at += os.write(self._fd, data[at : at + PIECE])
        except OSError:  # nobody reads any more
            at = len(data)
        if at < len(data):
            self._queue.append(data[at:])
        self._size = len(data) - at
