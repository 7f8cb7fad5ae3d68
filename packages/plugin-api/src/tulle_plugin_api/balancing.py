"""What balancers share: who is usable, draws by weight; and the settings that every balancer has without a line of it.

Owns the two draws of "the power of two choices", and the type of the shared settings. The settings themselves are
carried out by the proxy's balance layer, before `pick`: a balancer sees only the endpoints that may be used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Any

from tulle_plugin_api.config import ConfigError, Duration, decode
from tulle_plugin_api.exchange import Endpoint
from tulle_plugin_api.protocols import Config

# --- draws ------------------------------------------------------------------------------------------------

_TRIES = 8  # to draw a second one that differs: with two endpoints of 99:1 all fail once in thirteen


def usable(endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Those that shall have traffic: weight 0 means none, unless there is nothing else."""
    return [endpoint for endpoint in endpoints if endpoint.weight > 0] or endpoints


class Draw:
    """Draws from a set of endpoints, with the odds of their weights. O(1) when all weigh the same, else O(log n)."""

    __slots__ = ("_odds", "_total", "endpoints")

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """`endpoints`: not empty. Weight 0 is never drawn, unless there is nothing else."""
        self.endpoints = tuple(usable(endpoints))
        weights = [endpoint.weight for endpoint in self.endpoints]
        self._odds = list(accumulate(weights)) if len(set(weights)) > 1 else []
        self._total = self._odds[-1] if self._odds else len(weights)

    def one(self, random: Random) -> Endpoint:
        """Any of them; twice the weight, twice as often."""
        return self.endpoints[self._position(random)]

    @property
    def even(self) -> bool:
        """All weigh the same."""
        return not self._odds

    def two(self, random: Random) -> tuple[Endpoint, Endpoint]:
        """Two, in the order drawn; the same one twice only where there is no other to be had."""
        endpoints, first = self.endpoints, self._position(random)
        if not self._odds:
            others = len(endpoints) - 1
            if not others:
                return endpoints[0], endpoints[0]
            second = int(random.random() * others)  # of the others: step over the first
            return endpoints[first], endpoints[second + 1 if second >= first else second]
        for _ in range(_TRIES):
            second = self._position(random)
            if second != first:
                return endpoints[first], endpoints[second]
        return endpoints[first], endpoints[first - 1]  # a neighbour, so that the heaviest has somebody to lose against

    def _position(self, random: Random) -> int:
        at = int(random.random() * self._total)
        return bisect_right(self._odds, at) if self._odds else at


# --- settings of every balancer ---------------------------------------------------------------------------


class SlowStart(Config):
    """A new endpoint's share grows from `minimum` percent of its weight to all of it, over `window`.

    As Envoy's: share = max(minimum / 100, (age / window) ** (1 / aggression)). A cold process (caches, pools, a JIT
    compiler) is not given its full share at once. Age counts from the first request that it could have got.
    """

    window: Duration
    """How long a new endpoint warms up."""

    aggression: float = 1.0
    """1: evenly; more: faster at the beginning. More than 0."""

    minimum: float = 10.0
    """Percent of its weight that a new endpoint has at once; 1 to 100."""


class PreferZone(Config):
    """Endpoints of the proxy's own zone first, as far as they are well; the rest of the traffic spills over.

    As Envoy's priorities with their overprovisioning factor: the own zone gets min(1, 1.4 x the share of its endpoints
    that are well) of the requests. With 7 of 10 well it still gets 98 %, with 5 of 10 it gets 70 %.
    """

    overprovisioning: float = 1.4
    """How much more than its share an endpoint can take; at least 1."""

    minimum: int = 1
    """With fewer endpoints than this in the own zone there is no preference."""


class Shared(Config):
    """Settings that every balancer has; the proxy carries them out."""

    slow_start: SlowStart | None = None
    """Let new endpoints warm up."""

    prefer_zone: PreferZone | None = None
    """Stay in the proxy's own zone (TULLE_ZONE) where possible."""

    panic: float = 50.0
    """Percent. When fewer endpoints than this are well, ejections are not believed: all are used. 0: never."""

    def problems(self) -> list[str]:
        """What types cannot say, each with its path."""
        found = []
        if not 0 <= self.panic <= 100:
            found.append(f"spec.config.panic: percent, 0 to 100, got {self.panic:g}")
        if (start := self.slow_start) is not None:
            if start.window <= 0:
                found.append('spec.config.slow_start.window: more than nothing, such as "30s"; leave slow_start out')
            if not 0 < start.aggression < 1e6:
                found.append(f"spec.config.slow_start.aggression: more than 0, such as 1.0, got {start.aggression:g}")
            if not 1 <= start.minimum <= 100:
                found.append(f"spec.config.slow_start.minimum: percent, 1 to 100, got {start.minimum:g}")
        if (zone := self.prefer_zone) is not None:
            if not 1 <= zone.overprovisioning < 1e6:
                found.append(f"spec.config.prefer_zone.overprovisioning: at least 1, got {zone.overprovisioning:g}")
            if zone.minimum < 1:
                found.append(f"spec.config.prefer_zone.minimum: at least 1, got {zone.minimum}")
        return found


_SHARED = tuple(Shared.__struct_encode_fields__)


def split(config: Mapping[str, Any]) -> tuple[Shared, dict[str, Any]]:
    """A MeshPolicy's `spec.config` without `name`, as shared settings and the balancer's own. Raises ConfigError."""
    if not isinstance(config, Mapping):
        raise ConfigError([f"spec.config: expected a mapping, got {config!r}"])
    shared = decode(Shared, {name: config[name] for name in _SHARED if name in config})
    if problems := shared.problems():
        raise ConfigError(problems)
    return shared, {name: value for name, value in config.items() if name not in _SHARED}
