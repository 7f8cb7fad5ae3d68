"""Random: any endpoint, with the odds of its weight.

Owns nothing but the draw, so it needs no state that many proxies would have to agree on; the price is that the
busiest of n endpoints runs ahead of the average by chance, which round-robin and least-request avoid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from tulle_plugin_api import Balancer, BalancerFactory, Endpoint, Exchange, Runtime, hookimpl


class Random(Balancer):
    """One backend's draw. The odds are worked out when the set of endpoints changes, not per request."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """There is nothing to choose: a `config` that is not empty is refused with ValueError."""
        if config:
            raise ValueError(f"random takes no configuration, got {', '.join(map(repr, config))}; leave it out")
        self._random = runtime.random
        self._endpoints: tuple[Endpoint, ...] = ()
        self._odds: list[int] = []  # running sums of weights; empty when all weigh the same

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """Any of them; twice the weight, twice as often."""
        if endpoints is not self._endpoints:
            self._weigh(tuple(endpoints))
        if self._odds:
            return self._random.choices(self._endpoints, cum_weights=self._odds)[0]
        return self._endpoints[int(self._random.random() * len(self._endpoints))]

    def _weigh(self, endpoints: tuple[Endpoint, ...]) -> None:
        if endpoints == self._endpoints:
            return
        weights = [endpoint.weight for endpoint in endpoints]
        # weight 0 is never drawn, unless there is nothing else: then all weigh the same
        self._odds = list(accumulate(weights)) if len(set(weights)) > 1 else []
        self._endpoints = endpoints


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `random`."""
    return {"random": Random}
