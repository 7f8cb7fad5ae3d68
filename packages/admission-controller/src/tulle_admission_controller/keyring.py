"""When certificates change hands: one or two authorities, one leaf, and the rules of their succession.

Time is passed in; nothing is stored or sent here. A new authority is first published beside the old one and signs
only when the bundle has had time to spread, so at no moment is a leaf served that a caller could not verify:

    publish A -> leaf by A -> (A is 2/3 old) publish A+B -> settled: next leaf by B -> publish B

Of one process: replicas each have their own, and callers trust them all (`bundle.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .certificates import Authority, Leaf, make_authority, make_leaf


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last. Renewal is at two thirds of a life; `settle` is how long a bundle takes to spread."""

    authority: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(hours=24)
    settle: timedelta = timedelta(minutes=10)


class Keyring:
    """The authorities (oldest first, at most two) and the leaf that is served. `step` applies the rules."""

    def __init__(self, names: Sequence[str], lifetimes: Lifetimes, now: datetime) -> None:
        self.names = tuple(names)
        self.lifetimes = lifetimes
        self.authorities = [make_authority(now, lifetimes.authority)]
        self.leaf = self._new_leaf(self.authorities[0], now)
        self._published: dict[int, datetime] = {}

    @property
    def bundle(self) -> bytes:
        """What callers have to trust, as PEM, the newest authority first."""
        return b"".join(authority.pem for authority in reversed(self.authorities))

    def published(self, now: datetime) -> None:
        """Say that the present bundle has reached its place."""
        for authority in self.authorities:
            self._published.setdefault(authority.serial, now)

    def step(self, now: datetime, *, renew: bool = False) -> None:
        """Brings everything up to date with the clock; `renew` also renews what is still good."""
        self.authorities = [each for each in self.authorities if now < each.certificate.not_valid_after_utc]
        if not self.authorities or (len(self.authorities) == 1 and (renew or now >= _due(self.authorities[0]))):
            self.authorities.append(make_authority(now, self.lifetimes.authority))
        if renew or now >= _due(self.leaf) or self.leaf.issuer not in self._serials():
            self.leaf = self._new_leaf(self._signer(now), now)
        # who trusted the old authority trusts its successor by now, or the successor had not signed
        self.authorities = self.authorities[self._serials().index(self.leaf.issuer) :]

    def next_step(self) -> datetime:
        """When `step` has something to do."""
        dues = [_due(self.leaf)]
        if len(self.authorities) == 1:  # with two, the younger one waits for the leaf's renewal
            dues.append(_due(self.authorities[0]))
        return min(dues)

    def _signer(self, now: datetime) -> Authority:
        for authority in reversed(self.authorities):
            since = self._published.get(authority.serial)
            if since is not None and now >= since + self.lifetimes.settle:
                return authority
        return self.authorities[0]  # the oldest is the best known

    def _new_leaf(self, signer: Authority, now: datetime) -> Leaf:
        return make_leaf(signer, self.names, now, self.lifetimes.leaf)

    def _serials(self) -> list[int]:
        return [authority.serial for authority in self.authorities]


def _due(thing: Authority | Leaf) -> datetime:
    """Two thirds of the way from its making to its end."""
    return thing.made + (thing.certificate.not_valid_after_utc - thing.made) * 2 / 3
