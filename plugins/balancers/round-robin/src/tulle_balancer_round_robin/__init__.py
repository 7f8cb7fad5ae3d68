"""Round-robin: each endpoint in turn, request by request, in proportion to its weight.

Owns the order of turns. Refuses to know whether an endpoint is healthy or busy.

An endpoint with weight w has a turn every 1/w of a round, and the one whose turn comes next is picked (stride
scheduling, Waldspurger and Weihl 1995; nginx and Envoy schedule alike). So 3:1 is "a a b a", never "a a a b".
When the set of endpoints changes nothing starts again at zero: those that stay keep their turn, and one that is new
joins somewhere within the next round, at random, since many proxies hear of it at the same time. A counter modulo the
number of endpoints has none of this: each change sends the next requests of every proxy to the same few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from typing import Any

from tulle_plugin_api import Address, Balancer, BalancerFactory, Endpoint, Exchange, Runtime, hookimpl

ROUND = 232_792_560
"""Length of a round. Whole numbers, since sums of 1/3 drift; this one has every weight up to 20 as a divisor."""


class RoundRobin(Balancer):
    """One backend's turns. A pick costs O(log n); a changed set of endpoints O(n)."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """There is nothing to choose: a `config` that is not empty is refused with ValueError."""
        if config:
            raise ValueError(f"round-robin takes no configuration, got {', '.join(map(repr, config))}; leave it out")
        self._random = runtime.random
        self._endpoints: tuple[Endpoint, ...] = ()
        # a heap of (turn, position, stride, endpoint); positions differ, so endpoints are never compared
        self._turns: list[tuple[int, int, int, Endpoint]] = []
        # turns still to come of endpoints that are not in the set just now: leaving and returning gains nothing
        self._absent: dict[Address, int] = {}

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The endpoint whose turn comes next."""
        if endpoints is not self._endpoints:
            self._arrange(tuple(endpoints))
        turn, position, stride, endpoint = self._turns[0]
        heapreplace(self._turns, (turn + stride, position, stride, endpoint))
        return endpoint

    def _arrange(self, endpoints: tuple[Endpoint, ...]) -> None:
        if endpoints == self._endpoints:
            return
        now = self._turns[0][0] if self._turns else 0
        ahead = self._absent | {endpoint.address: turn for turn, _, _, endpoint in self._turns}
        # weight 0 means "no traffic", unless nothing else is left
        usable = [endpoint for endpoint in endpoints if endpoint.weight > 0] or endpoints
        self._turns = []
        for position, endpoint in enumerate(usable):
            stride = max(1, ROUND // max(1, endpoint.weight))
            turn = ahead.pop(endpoint.address, now - 1)
            if turn < now:
                turn = now + int(self._random.random() * stride)
            self._turns.append((min(turn, now + stride), position, stride, endpoint))
        heapify(self._turns)
        self._absent = {address: turn for address, turn in ahead.items() if turn > now}
        self._endpoints = endpoints


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `round-robin`, the mesh's default."""
    return {"round-robin": RoundRobin}
