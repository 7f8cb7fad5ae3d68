"""Ejection: endpoints that did not accept a connection, or that a policy says so of, are left alone for a while.

Pure; the time is passed in. Back-off doubles from 1 s to 60 s with each failure after an ejection has ended, and is
forgotten when the endpoint has been well for as long as its last ejection, or has left.
"""

from __future__ import annotations

from collections.abc import Collection

from tulle_plugin_api import Endpoint

FIRST_SECONDS = 1.0
MAX_SECONDS = 60.0


class Ejections:
    """Who is ejected until when. `until` is empty nearly always, which is all that the hot path asks."""

    def __init__(self) -> None:
        self.until: dict[Endpoint, tuple[float, float]] = {}  # endpoint -> (ejected until, for how long)

    def failed(self, endpoint: Endpoint, now: float, *, lasting: bool = True) -> bool:
        """`endpoint` refused; is it ejected for that? `lasting`: double the back-off, since nobody was there at all."""
        until, length = self.until.get(endpoint, (0.0, 0.0))
        if now < until:
            return False  # requests that were already under way say nothing new
        recent = length and now - until < length
        length = min(MAX_SECONDS, length * 2) if recent and lasting else FIRST_SECONDS
        self.until[endpoint] = (now + length, length)
        return True

    def eject(self, endpoint: Endpoint, until: float) -> None:
        """Leave `endpoint` alone until then, whatever was said before: a policy keeps its own count of failures."""
        self.until[endpoint] = (until, 0.0)

    def readmit(self, endpoint: Endpoint) -> None:
        """Forget what is held against `endpoint`."""
        self.until.pop(endpoint, None)

    def ejected(self, endpoint: Endpoint, now: float) -> bool:
        """Is `endpoint` to be left alone at `now`?"""
        entry = self.until.get(endpoint)
        if entry is None:
            return False
        until, length = entry
        if now >= until + length:
            del self.until[endpoint]
        return now < until

    def keep(self, endpoints: Collection[Endpoint]) -> None:
        """Forget all but these."""
        self.until = {e: entry for e, entry in self.until.items() if e in endpoints}
