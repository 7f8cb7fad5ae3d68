"""One proxy's part of a quota: tokens at hand, the slice that was promised, and what holds when nobody leases.

Pure; the time is passed in. Owns when to ask and how much to admit. Refuses to know how the control plane is asked.

  leased   tokens of slices, used as they are needed; the next one is asked for when half of one is left. A slice is
           dated: what the others asked for before comes first. Never more than two slices are held, so what all proxies
           admit is the quota's, to within that.
  alone    the control plane is away, or does not answer for a second: an equal part of the quota, from a bucket of
           our own that begins empty. All proxies' parts together are the quota.

A proxy begins with a slice that it takes ahead and has counted with its first ask, so that the first requests are
served before anybody has answered.
"""

from __future__ import annotations

from math import inf

from tulle_plugin_api.lease import Bucket, Terms

PATIENCE = 1.0
"""Seconds. An ask that is not answered for so long: nobody leases."""

SETTLED = 10.0
"""Seconds. A control plane that has just come back has not heard of all proxies yet: until it had so long, the number
of those that share may only grow."""

UNKNOWN = 10
"""So many are taken to share a quota of which the control plane has never said it."""


class Share:
    """What `Lease.take` is made of."""

    __slots__ = ("_alone", "_coming", "_connected", "_owed", "_since", "_stream_at", "sharers", "terms", "tokens")

    def __init__(self, terms: Terms, now: float) -> None:
        self.terms = terms
        self.tokens = terms.slice
        self.sharers = 0  # as the control plane said last; 0: it never did
        self._owed = terms.slice  # taken ahead, and not said yet
        self._coming = (0, 0.0)  # tokens, and when they may be used
        self._connected = False
        self._stream_at = -inf  # when the stream began
        self._since = now  # since when we have waited for the control plane; inf: we do not
        self._alone: Bucket | None = None  # there is one while nobody leases

    def take(self, now: float) -> float:
        """0.0: a token was taken; else the seconds after which one is expected."""
        tokens, at = self._coming
        if tokens and now >= at:
            self.tokens += tokens
            self._coming = (0, 0.0)
        if self.tokens:
            self.tokens -= 1
            return 0.0
        if not self.alone(now):
            return at - now if tokens else self.terms.cost * max(1, self.sharers)
        if self._alone is None:
            self._alone = Bucket(now)
        mine = self.terms.share(self.sharers or UNKNOWN)
        wait = self._alone.due(1, mine, now)
        if not wait:
            self._alone.take(1, mine, now)
        return wait

    def alone(self, now: float) -> bool:
        """Does nobody lease?"""
        return now - self._since > PATIENCE

    @property
    def hungry(self) -> bool:
        """Is it time to ask? Looked at after each `take`."""
        return self._connected and self._since == inf and not self._coming[0] and self.tokens <= self.terms.slice // 2

    def ask(self, now: float) -> tuple[int, int]:
        """What to ask for: tokens wanted, and those that were taken ahead. It is waited for from now on."""
        self._since = min(self._since, now)
        owed, self._owed = self._owed, 0
        enough = self._coming[0] or self.tokens > self.terms.slice // 2
        return (0 if enough else self.terms.slice), owed

    def told(self, tokens: int, after: float, sharers: int, now: float, *, answer: bool) -> None:
        """What the control plane said."""
        if sharers >= self.sharers or now - self._stream_at >= SETTLED:
            self.sharers = sharers
        if answer:
            self._since, self._alone = inf, None
            if tokens:
                self._coming = (tokens, now + max(0.0, after))

    def connected(self, now: float) -> None:
        """A stream begins; `ask` follows. We stay alone until it is answered."""
        self._connected, self._stream_at = True, now

    def disconnected(self) -> None:
        """The stream has ended: nobody leases."""
        self._connected = False
        self._since = -inf
