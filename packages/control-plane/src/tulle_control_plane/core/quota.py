"""Quotas that proxies share: a token bucket for each, given out in slices; and how many share it.

Pure; times in monotonic seconds are passed in, and what must be said to whom is returned. Owns the buckets for as long
as somebody shares them. Refuses to know streams, and policies: a quota's name and terms are the proxies' to say, and
proxies with the same MeshPolicy say the same.

A slice is given to whoever asks, dated: what there is now belongs to those who asked before. So nobody has to ask
again, and proxies that all want more than there is take turns, since each asks for its next slice after it got one.

Fine here; a production mesh would keep the buckets where several control planes can reach them. Here each instance
keeps its own, and proxies that dial different ones have a quota each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from tulle_plugin_api.lease import Bucket, Terms

MOST_QUOTAS = 1000
"""That one holder may share at a time."""
LONGEST_NAME = 1024
MOST_TOKENS = 10_000_000


class Slice(NamedTuple):
    """Tokens of a quota, to be used after so many seconds; `answer`: to an ask, not news of `sharers` alone."""

    quota: str
    tokens: int
    after: float
    sharers: int
    answer: bool = True


Told = tuple[Any, Slice]
"""To which holder what is to be said."""


class BadAsk(ValueError):
    """What a holder asks makes no sense. Says what would be right."""


@dataclass(slots=True)
class _Quota:
    bucket: Bucket
    holders: dict[Any, None] = field(default_factory=dict)


class Quotas:
    """All of them. A holder is anything hashable: one proxy's stream."""

    def __init__(self) -> None:
        self._quotas: dict[str, _Quota] = {}
        self._held: dict[Any, set[str]] = {}

    def ask(self, holder: Any, name: str, terms: Terms, tokens: int, taken: int, now: float) -> list[Told]:
        """What to say to whom: the answer to `holder`, and to all others that they are more now.

        `tokens`: so many are wanted; `taken`: so many the holder has taken ahead. Raises BadAsk; then nothing changed.
        """
        _check(name, terms, tokens, taken)
        held = self._held.get(holder, set())
        if name not in held and len(held) >= MOST_QUOTAS:
            raise BadAsk(f"more than {MOST_QUOTAS} quotas; release those that no policy has any more")
        quota = self._quotas.get(name)
        if quota is None:
            # Empty: after a restart the proxies have tokens that the last control plane gave them.
            quota = self._quotas[name] = _Quota(Bucket(now))
        joined = holder not in quota.holders
        quota.holders[holder] = None
        self._held.setdefault(holder, set()).add(name)
        quota.bucket.take(taken, terms, now)
        after = quota.bucket.take(tokens, terms, now) if tokens else 0.0
        told = [(holder, Slice(name, tokens, after, len(quota.holders)))]
        return [*told, *self._news(name, quota, holder)] if joined else told

    def release(self, holder: Any, name: str) -> list[Told]:
        """`holder` has no policy for it any more: what to say to those who still have. Harmless when it shares it not.

        What it holds is lost to all: at most a slice.
        """
        quota = self._quotas.get(name)
        if quota is None or holder not in quota.holders:
            return []
        del quota.holders[holder]
        held = self._held[holder]
        held.discard(name)
        if not held:
            del self._held[holder]
        if not quota.holders:
            del self._quotas[name]
        return self._news(name, quota, holder)

    def leave(self, holder: Any) -> list[Told]:
        """`holder` is gone, with all that it shares."""
        return [told for name in sorted(self._held.get(holder, ())) for told in self.release(holder, name)]

    def sharers(self, name: str) -> int:
        """How many share it; 0: it is not known."""
        return len(self._quotas[name].holders) if name in self._quotas else 0

    def __len__(self) -> int:
        return len(self._quotas)

    @staticmethod
    def _news(name: str, quota: _Quota, but: Any) -> list[Told]:
        sharers = len(quota.holders)
        return [(other, Slice(name, 0, 0.0, sharers, answer=False)) for other in quota.holders if other is not but]


def _check(name: str, terms: Terms, tokens: int, taken: int) -> None:
    if not 0 < len(name) <= LONGEST_NAME:
        raise BadAsk(f"a quota's name has 1 to {LONGEST_NAME} characters, this one has {len(name)}")
    for what, value in zip(("requests", "per_seconds", "burst"), terms, strict=False):
        if not (isfinite(value) and 0 < value <= 1e12):
            raise BadAsk(f"{what} of {name!r}: more than 0 and at most 1e12, got {value!r}")
    for what, count in (("tokens", tokens), ("taken", taken)):
        if not 0 <= count <= MOST_TOKENS:
            raise BadAsk(f"{what} of {name!r}: 0 to {MOST_TOKENS}, got {count}")
