"""Least-request: draws two endpoints by weight, and takes the one with fewer requests under way for its weight.

Owns the counts of requests under way. Refuses to know how long they take: see peak-ewma for that.

The power of two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 2001): with n
requests on n endpoints, chance alone puts about log n / log log n on the busiest, the better of two log log n. Taking
the very least busy of all is hardly better, and worse with many proxies: all of them run to the same one at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tulle_plugin_api import Address, Balancer, BalancerFactory, Config, Endpoint, Exchange, Runtime, hookimpl
from tulle_plugin_api.balancing import Draw
from tulle_plugin_api.config import decode

TULLE_CONTRACT = 1


class LeastRequestConfig(Config):
    """There is nothing to choose: two draws are what the mathematics wants."""


class LeastRequest(Balancer):
    """One backend's counts, by address. A pick costs O(1) while weights are equal, else O(log n)."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """Raises ConfigError for anything in `config`."""
        decode(LeastRequestConfig, config)
        self._random = runtime.random
        self._endpoints: tuple[Endpoint, ...] = ()
        self._draw: Draw | None = None
        self._busy: dict[Address, int] = {}  # none is no entry: what has left takes no room

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The less busy of two."""
        draw = self._draw
        if endpoints is not self._endpoints or draw is None:
            draw = self._arrange(tuple(endpoints))
        first, second = draw.two(self._random)
        busy = self._busy.get
        # b1 / w1 <= b2 / w2; a tie goes to the first, so that without load shares are those of the weights
        if busy(first.address, 0) * (second.weight or 1) <= busy(second.address, 0) * (first.weight or 1):
            return first
        return second

    def started(self, endpoint: Endpoint) -> None:
        """One more under way."""
        self._busy[endpoint.address] = self._busy.get(endpoint.address, 0) + 1

    def finished(self, endpoint: Endpoint, seconds: float, failed: bool) -> None:
        """One less."""
        left = self._busy.get(endpoint.address, 0) - 1
        if left > 0:
            self._busy[endpoint.address] = left
        else:
            self._busy.pop(endpoint.address, None)

    def _arrange(self, endpoints: tuple[Endpoint, ...]) -> Draw:
        if endpoints != self._endpoints or self._draw is None:
            self._draw = Draw(endpoints)
            self._endpoints = endpoints
        return self._draw


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `least-request`."""
    return {"least-request": LeastRequest}
