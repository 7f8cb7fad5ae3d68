"""Containment: what a plugin may raise without taking the proxy with it.

Owns the one distinction: cancellation, a deadline that passed and an interrupt from the keyboard are the runtime's and
go on; everything else,
SystemExit or a panic in Rust included, ends one request or connection, and no more.
"""

from __future__ import annotations

import trio

from tulle_data_plane.deadlines import Expired
from tulle_data_plane.driver import Stopped

RUNTIMES_OWN = (trio.Cancelled, Expired, Stopped, KeyboardInterrupt, GeneratorExit)


def must_go_on(error: BaseException) -> bool:
    """Is `error` the runtime's own, or a group that has such a one in it?"""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(RUNTIMES_OWN) is not None
    return isinstance(error, RUNTIMES_OWN)
