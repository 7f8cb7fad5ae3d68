"""Ring-hash: requests that have something in common (a header, a cookie, their source) go to the same endpoint.

Owns what is hashed and who has room (ring.py owns the ring). No proxy tells another: all hash alike, so all agree.

Consistent hashing (Karger et al. 1997): an endpoint that leaves moves only its own keys. With bounded loads (Mirrokni,
Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016): one that has more than `bound` times its share of
this proxy's requests under way passes the next on to its neighbour on the ring, so that one hot key harms nobody else.
The paper's bound alone would send every fifth key away from home where a proxy has four requests under way with ten
endpoints: its bound is then 1, and two keys of one home meet by chance. Hence `spare`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

from tulle_plugin_api import Address, Balancer, BalancerFactory, Config, Endpoint, Exchange, Headers, Runtime, hookimpl
from tulle_plugin_api.balancing import usable
from tulle_plugin_api.config import ConfigError, decode

TULLE_CONTRACT = 1


class RingHashConfig(Config):
    """What requests have in common: exactly one of `header`, `cookie` and `source`."""

    header: str = ""
    """The field whose (first) value is hashed."""

    cookie: str = ""
    """The cookie whose value is hashed."""

    source: bool = False
    """Hash the client's IP address."""

    bound: float | None = 1.25
    """Times its share of the requests under way that an endpoint may have; more than 1. null: no bound."""

    spare: int = 4
    """Requests under way that an endpoint may have whatever its share is: of a few, an uneven spread is chance."""

    points: int = 160
    """On the ring, of an endpoint of the greatest weight; 1 to 4096. More: evener, and slower when endpoints change."""


class RingHash(Balancer):
    """One backend's ring."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """Raises ConfigError."""
        settings = decode(RingHashConfig, config)
        if problems := _problems(settings):
            raise ConfigError(problems)
        from tulle_balancer_ring_hash.ring import Ring, hash_key  # see there why not above

        self._key, self._point = _key(settings), hash_key
        self._bound, self._spare = settings.bound, settings.spare
        self._random = runtime.random
        self._ring = Ring(settings.points)
        self._endpoints: tuple[Endpoint, ...] = ()
        self._here: dict[Address, Endpoint] = {}
        self._weight = 0
        self._busy: dict[Address, int] = {}
        self._under_way = 0

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The first on the ring from the key's point on that has room. Without a key: from a random point on."""
        if endpoints is not self._endpoints:
            self._arrange(tuple(endpoints))
        key = self._key(exchange)
        point = self._point(key) if key is not None else self._random.getrandbits(64)
        for address in self._ring.walk(point):
            endpoint = self._here.get(address)
            if endpoint is not None and self._has_room(endpoint):
                return endpoint
        return next(iter(self._here.values()))  # never: somebody has less than its share

    def started(self, endpoint: Endpoint) -> None:
        """One more under way."""
        self._busy[endpoint.address] = self._busy.get(endpoint.address, 0) + 1
        self._under_way += 1

    def finished(self, endpoint: Endpoint, seconds: float, failed: bool) -> None:
        """One less."""
        left = self._busy.pop(endpoint.address, 0) - 1
        if left >= 0:
            self._under_way -= 1
        if left > 0:
            self._busy[endpoint.address] = left

    def _has_room(self, endpoint: Endpoint) -> bool:
        if self._bound is None:
            return True
        busy = self._busy.get(endpoint.address, 0)
        if busy < self._spare:
            return True
        return busy < ceil(self._bound * (self._under_way + 1) * (endpoint.weight or 1) / self._weight)

    def _arrange(self, endpoints: tuple[Endpoint, ...]) -> None:
        if endpoints == self._endpoints:
            return
        here = usable(endpoints)
        self._ring.hold(here)
        self._here = {endpoint.address: endpoint for endpoint in here}
        self._weight = sum(endpoint.weight or 1 for endpoint in here)
        self._endpoints = endpoints


def _problems(settings: RingHashConfig) -> list[str]:
    problems = []
    chosen = [name for name in ("header", "cookie", "source") if getattr(settings, name)]
    if len(chosen) != 1:
        given = " and ".join(chosen) or "none"
        problems.append(f"spec.config: exactly one of header, cookie and source says what is hashed, got {given}")
    if settings.header:
        try:
            Headers.of([(settings.header, "")])
        except ValueError as error:
            problems.append(f"spec.config.header: {error}")
    if settings.bound is not None and not 1 < settings.bound < 1e6:
        problems.append(f"spec.config.bound: more than 1, such as 1.25, or null for none, got {settings.bound:g}")
    if settings.spare < 0:
        problems.append(f"spec.config.spare: 0 or more, got {settings.spare}")
    if not 1 <= settings.points <= 4096:
        problems.append(f"spec.config.points: 1 to 4096, got {settings.points}")
    return problems


def _key(settings: RingHashConfig) -> Callable[[Exchange], str | None]:
    if settings.header:
        return lambda exchange: exchange.headers.get(settings.header)
    if settings.cookie:
        return lambda exchange: _cookie(exchange.headers, settings.cookie)
    return lambda exchange: exchange.source.ip or None


def _cookie(headers: Headers, name: str) -> str | None:
    # RFC 6265 section 4.2.1: pairs, divided by "; ". HTTP/2 may send them in several fields (RFC 9113 section 8.2.3).
    for value in headers.get_all("cookie"):
        for pair in value.split(";"):
            key, equals, content = pair.partition("=")
            if equals and key.strip() == name:
                return content.strip()
    return None


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `ring-hash`."""
    return {"ring-hash": RingHash}
