"""The ring: points of endpoints in the circle of 64-bit numbers, and the walk along it.

Owns where points lie: the same in every proxy and every process (Python's own `hash` of a string is not). Imported when
the first ring is needed: hashlib brings OpenSSL with it, which only proxies that hash shall pay for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from math import ceil

from tulle_plugin_api import Address, Endpoint

_WORD = 8  # bytes of a point; a digest of 64 bytes gives eight of them


def hash_key(key: str) -> int:
    """A key's point: 64 bits of BLAKE2b (RFC 7693), about 1 us."""
    return int.from_bytes(_digest(key.encode("utf-8", "surrogatepass"), _WORD))


class Ring:
    """Holds at least the endpoints that it was last given; who else is still on it is for the walk's reader to skip.

    To skip those who are not there gives the same answer as a ring without them. So an endpoint that is left out for a
    moment (a retry, an ejection) costs nothing; the ring is made anew when one joins, a weight changes, or half left.
    """

    def __init__(self, points: int) -> None:
        """`points` of an endpoint with the greatest weight."""
        self._most = points
        self._held: dict[Address, int] = {}  # how many points each has
        self._points: list[int] = []
        self._owners: list[Address] = []

    def hold(self, endpoints: Sequence[Endpoint]) -> None:
        """Have these on the ring. O(points x endpoints) when it must be made anew: 3 ms for 100 endpoints of 160."""
        heaviest = max(endpoint.weight for endpoint in endpoints) or 1
        wanted = {one.address: ceil(self._most * (one.weight or 1) / heaviest) for one in endpoints}
        if wanted.items() <= self._held.items() and len(self._held) <= 2 * len(wanted) + 8:
            return
        pairs = sorted((point, address) for address, count in wanted.items() for point in _points(address, count))
        self._held = wanted
        self._points = [point for point, _ in pairs]
        self._owners = [address for _, address in pairs]

    def walk(self, point: int) -> Iterator[Address]:
        """Owners from `point` on, all the way round, with repetitions."""
        owners, start = self._owners, bisect_left(self._points, point)
        for at in range(start, len(owners)):
            yield owners[at]
        for at in range(start):
            yield owners[at]


def _points(address: Address, count: int) -> Iterator[int]:
    for block in range(ceil(count / _WORD)):
        digest = _digest(f"{address} {block}".encode(), _WORD * _WORD)
        for at in range(min(_WORD, count - block * _WORD)):
            yield int.from_bytes(digest[at * _WORD : (at + 1) * _WORD])


def _digest(data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size).digest()
