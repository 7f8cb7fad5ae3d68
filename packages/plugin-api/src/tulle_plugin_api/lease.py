"""Limits that proxies share: what a policy says of one (Terms), and what it is given (Lease).

Owns the terms, the token bucket with which all sides count, and a lease that shares with nobody, for tests. Refuses to
know who shares and how: the proxy leases slices from the control plane in the background, so that no request waits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol


class Terms(NamedTuple):
    """A quota: `requests` tokens come in every `per` seconds, evenly; at most `burst` are kept; leased by `slice`."""

    requests: float
    per: float
    burst: float
    slice: int

    @property
    def cost(self) -> float:
        """Seconds in which one token comes in."""
        return self.per / self.requests

    def share(self, sharers: int) -> Terms:
        """One of so many equal parts; together they are no more than the whole, but for the single token of a burst."""
        return self._replace(requests=self.requests / sharers, burst=max(1.0, self.burst / sharers))


class Lease(Protocol):
    """A proxy's part of a quota. Kept for as long as the policy's handler is."""

    def take(self) -> float:
        """0.0: a token was taken. Else none is at hand, and the seconds after which one is expected. Never waits."""


class Bucket:
    """A token bucket as one number: up to which time its tokens have been given away (GCRA, ITU-T I.371 annex A).

    Pure; the time is passed in. Without a start it is full; `Bucket(now)` is empty.
    """

    __slots__ = ("_until",)

    def __init__(self, until: float = -inf) -> None:
        self._until = until

    def due(self, tokens: float, terms: Terms, now: float) -> float:
        """Seconds until so many tokens will have come in; 0.0: they are there. Nothing is taken."""
        after = self._next(terms, now) + tokens * terms.cost - now
        return after if after > 1e-9 else 0.0  # sums of fractions are a little off

    def take(self, tokens: float, terms: Terms, now: float) -> float:
        """Take them, now or ahead of their coming in; the seconds after which they will have come in."""
        due = self.due(tokens, terms, now)
        self._until = self._next(terms, now) + tokens * terms.cost
        return due

    def full(self, terms: Terms, now: float) -> bool:
        """As good as new?"""
        return self._until <= now - terms.burst * terms.cost

    def _next(self, terms: Terms, now: float) -> float:
        return max(self._until, now - terms.burst * terms.cost)


class OwnLease:
    """A `Lease` that shares with nobody: what policies' tests are given. The bucket is full at first."""

    def __init__(self, terms: Terms, now: Callable[[], float]) -> None:
        self._terms, self._now, self._bucket = terms, now, Bucket()

    def take(self) -> float:
        """See Lease."""
        now = self._now()
        wait = self._bucket.due(1, self._terms, now)
        if not wait:
            self._bucket.take(1, self._terms, now)
        return wait
