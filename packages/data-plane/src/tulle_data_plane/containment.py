"""Containment: what a plugin may raise without taking the proxy with it.

Owns the one distinction: cancellation, a deadline that passed, a plugin's time that is up and an interrupt from the
keyboard are the runtime's and go on; everything else, SystemExit or a panic in Rust included, ends one request or
connection, and no more. What it then does to the plugin's name: faults.py.
"""

from __future__ import annotations

import trio

from tulle_data_plane.deadlines import Expired
from tulle_data_plane.driver import Stopped


class Overdue(BaseException):
    """Raised in a policy's handler at its wait: its time is up. Meant for the guard that owns `visit`, nobody else."""

    def __init__(self, visit: object) -> None:
        super().__init__()
        self.visit = visit


class Stalled(BaseException):
    """Raised in plugin code that blocks the event loop (watchdog.py). Not an Exception: a loop that catches those and
    goes on must not catch this."""


RUNTIMES_OWN = (trio.Cancelled, Expired, Overdue, Stopped, KeyboardInterrupt, GeneratorExit)


def must_go_on(error: BaseException) -> bool:
    """Is `error` the runtime's own, or a group that has such a one in it?"""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(RUNTIMES_OWN) is not None
    return isinstance(error, RUNTIMES_OWN)


def in_words(error: BaseException) -> str:
    """For a log line: the kind of error and what it says, whatever its own `__repr__` does."""
    try:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    except Exception:
        return type(error).__name__
