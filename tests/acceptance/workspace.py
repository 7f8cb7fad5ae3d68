"""A folder of our own below .tulle/ (which git ignores), and the lock that keeps two runs of this clone apart.

Not below /tmp: a pod's /tmp is its own, and what is handed to pods must be seen there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LOAD = HERE / "load"
MANIFESTS = HERE / "manifests"
SAMPLE_APP = REPOSITORY / "deploy" / "sample-app"


class AlreadyRunning(Exception):
    """Another `make acceptance` of this clone is at work."""


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """The folder, locked until the end. Raises AlreadyRunning."""
    folder = REPOSITORY / ".tulle" / "acceptance"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another `make acceptance` runs in {folder}; wait for it, or end it") from None
        yield folder
    finally:
        os.close(lock)
