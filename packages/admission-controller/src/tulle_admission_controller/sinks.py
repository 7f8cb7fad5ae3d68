"""Where the CA bundle goes, so that whoever calls the webhook can verify it.

`CaBundleSink` is the seam: on one machine a file is written, in Kubernetes `caBundle` of the webhook
configurations is to be patched. A sink may fail; the caller tries again (`rotation.py`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Protocol


class CaBundleSink(Protocol):
    """Takes the bundle to where callers find it."""

    async def publish(self, bundle: bytes) -> None:
        """Puts the PEM bundle (one or two certificates) in place, whole. Raises when it could not.

        Called again with the same bundle after a failure, and with a new one after each rotation.
        """


class NoSink:
    """Nobody is told: callers verify nothing, or are given the bundle by other means."""

    async def publish(self, bundle: bytes) -> None:
        """Does nothing."""


class FileSink:
    """A file, replaced in one step (rename(2)): a reader sees the old bundle or the new one, never half."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def publish(self, bundle: bytes) -> None:
        """Writes the bundle beside the file and renames it. Raises OSError; nothing is left behind then."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(bundle)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # certificates are public
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
