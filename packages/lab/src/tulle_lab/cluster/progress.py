"""How far somebody who follows the store has come, and waiting until they have come so far.

What is computed from objects (slices from pods, rules from slices) is true a moment after the objects changed; whoever
must not be early waits here.
"""

from __future__ import annotations

import trio


class Progress:
    """The store's version that a follower's work reflects."""

    def __init__(self) -> None:
        self.version = -1
        self._moved = trio.Event()

    def reached(self, version: int) -> None:
        """The follower's work now reflects the store at `version`."""
        self.version = version
        self._moved.set()
        self._moved = trio.Event()

    async def wait(self, version: int) -> None:
        """Wait until it reflects at least `version`."""
        while self.version < version:
            await self._moved.wait()
