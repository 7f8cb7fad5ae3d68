"""A log file: lines are queued, and appended in a thread a few times a second.

Owns the queue's bound and the file's life. Loaded only when lines go to a file. A disk that is slow or full makes
nobody wait: what the queue has no room for is dropped and counted. A file that was moved away (logrotate) is made anew.
"""

from __future__ import annotations

import os

import trio
from tulle_plugin_api.push import Pusher, SendFailed

INTERVAL = 0.2  # seconds
MAX_QUEUED = 1 << 20
"""Bytes that wait to be written."""


class LogFile(Pusher):
    """`write` queues a line. `sent` and `dropped` count lines."""

    def __init__(self, path: str) -> None:
        """Raises ValueError when the file cannot be opened for appending."""
        super().__init__("access-log", INTERVAL)
        self._path = path
        self._queue: list[bytes] = []
        self._size = 0
        self._fd = -1
        try:
            self._reopen()
        except OSError as error:
            raise ValueError(f"output: expected stdout or a file that can be written, got {path!r}: {error}") from error

    def observe(self, exchange: object) -> None:
        """`AccessLog` does."""

    def write(self, line: bytes) -> None:
        """Queue one line, without its break. On the hot path."""
        if self._size + len(line) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(line)
        self._size += len(line) + 1

    async def send(self) -> None:
        """Append what is queued. Raises SendFailed; lines are then dropped."""
        lines, self._queue, self._size = self._queue, [], 0
        if not lines:
            return
        try:
            await trio.to_thread.run_sync(self._append, b"\n".join(lines) + b"\n")
        except OSError as error:
            self.dropped += len(lines)
            raise SendFailed(f"{self._path}: {error}") from error
        self.sent += len(lines)

    def _append(self, data: bytes) -> None:
        self._reopen()
        at = 0
        while at < len(data):
            at += os.write(self._fd, data[at:])

    def _reopen(self) -> None:
        """Have the file that is there now open: another may have been put in its place, or none."""
        if self._fd >= 0:
            try:
                here, there = os.fstat(self._fd), os.stat(self._path)
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return
            except FileNotFoundError:
                pass
            self._close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    async def aclose(self) -> None:
        """Write the rest, and close the file."""
        await super().aclose()
        self._close()
