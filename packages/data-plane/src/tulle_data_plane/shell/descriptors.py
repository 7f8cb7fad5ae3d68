"""Descriptors: what traffic may use of them, so that some are left to look after the proxy with.

Owns the limit. The kernel gives out the lowest free number, so a new descriptor's number says how many are open.
"""

from __future__ import annotations

import errno
import os
import resource

RESERVED = 64
"""Kept from traffic: for the admin port, the control stream, exporters."""

RESOURCE_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""The machine's or the process's limits; nobody at the other end of a connection is to blame."""


def ceiling() -> int:
    """Traffic's descriptors have numbers below this."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(RESERVED, soft // 4)


def refuse_at(fd: int, most: int) -> None:
    """Raises OSError (EMFILE) when `fd`, just opened, is not below `most`."""
    if fd >= most:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def probe(fd: int, most: int) -> None:
    """Raises OSError (EMFILE) when the next descriptor would not be below `most`. `fd`: any open one."""
    copy = os.dup(fd)
    os.close(copy)
    refuse_at(copy, most)
