"""Peak-EWMA: draws two endpoints by weight, and takes the one that is likely to answer first.

Owns an estimate of each endpoint's latency, and the requests under way. As Finagle's and Linkerd's: an exponentially
weighted moving average that jumps up to each peak at once and comes down slowly, times the requests that would be
ahead. So a slow endpoint loses its traffic with the first slow answer, and is asked again when the memory of it fades.

Weights are the odds of being drawn. Where they differ the two may be the same one: else, of two endpoints that weigh
90 and 10, the quicker would have everything, whatever it weighs.

A quick error is no quick answer: a failure never makes an estimate better, or a broken endpoint would draw all traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from tulle_plugin_api import Address, Balancer, BalancerFactory, Config, Duration, Endpoint, Exchange, Runtime, hookimpl
from tulle_plugin_api.balancing import Draw
from tulle_plugin_api.config import ConfigError, decode, duration

TULLE_CONTRACT = 1

ROOM = 64
"""Estimates kept of endpoints that are not in the set just now: retries and ejections leave some out for a moment."""


class PeakEwmaConfig(Config):
    """How estimates begin and fade."""

    decay: Duration = duration("10s")
    """How long what was seen counts: after this time an old observation has 1/e of its weight."""

    default: Duration = duration("30ms")
    """What is assumed of an endpoint that has not answered yet."""


class Estimate:
    """Of one endpoint."""

    __slots__ = ("busy", "cost", "seen")

    def __init__(self, cost: float, seen: float) -> None:
        self.cost = cost  # seconds
        self.seen = seen  # when `cost` was right
        self.busy = 0


class PeakEwma(Balancer):
    """One backend's estimates, by address."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """Raises ConfigError."""
        settings = decode(PeakEwmaConfig, config)
        for name, value in (("decay", settings.decay), ("default", settings.default)):
            if value <= 0:
                raise ConfigError([f'spec.config.{name}: more than nothing, such as "10s", got {value:g} s'])
        self._decay, self._default = float(settings.decay), float(settings.default)
        self._random, self._now = runtime.random, runtime.now
        self._endpoints: tuple[Endpoint, ...] = ()
        self._draw: Draw | None = None
        self._estimates: dict[Address, Estimate] = {}

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The likely quicker of two."""
        draw = self._draw
        if endpoints is not self._endpoints or draw is None:
            draw = self._arrange(tuple(endpoints))
        random = self._random
        first, second = draw.two(random) if draw.even else (draw.one(random), draw.one(random))
        if first is second:
            return first
        now = self._now()
        return first if self._load(first, now) <= self._load(second, now) else second

    def started(self, endpoint: Endpoint) -> None:
        """One more under way."""
        self._estimate(endpoint.address, self._now()).busy += 1

    def finished(self, endpoint: Endpoint, seconds: float, failed: bool) -> None:
        """What it took is worked into the estimate: at once if it is a peak, else by how long ago the last one was."""
        now = self._now()
        estimate = self._estimate(endpoint.address, now)
        estimate.busy = max(0, estimate.busy - 1)
        if seconds >= estimate.cost:
            estimate.cost = seconds
        elif not failed:
            old = exp((estimate.seen - now) / self._decay)
            estimate.cost = estimate.cost * old + seconds * (1 - old)
        estimate.seen = now

    def _load(self, endpoint: Endpoint, now: float) -> float:
        estimate = self._estimates.get(endpoint.address)
        if estimate is None:
            return self._default
        # unseen, it fades towards nothing: in the end everybody is asked again
        return estimate.cost * exp((estimate.seen - now) / self._decay) * (estimate.busy + 1)

    def _estimate(self, address: Address, now: float) -> Estimate:
        found = self._estimates.get(address)
        if found is None:
            found = self._estimates[address] = Estimate(self._default, now)
        return found

    def _arrange(self, endpoints: tuple[Endpoint, ...]) -> Draw:
        if endpoints != self._endpoints or self._draw is None:
            self._draw = Draw(endpoints)
            self._endpoints = endpoints
            if len(self._estimates) > len(endpoints) + ROOM:
                here = {endpoint.address for endpoint in endpoints}
                self._estimates = {address: one for address, one in self._estimates.items() if address in here}
        return self._draw


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `peak-ewma`."""
    return {"peak-ewma": PeakEwma}
