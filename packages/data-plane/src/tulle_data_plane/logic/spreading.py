"""Spreading: which of a backend's endpoints a balancer may choose from just now: panic, the own zone, slow starts.

Pure; time and chance are passed in. Each works as Envoy's of that name; where it differs, it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from tulle_plugin_api import Address, Endpoint
from tulle_plugin_api.balancing import PreferZone, SlowStart

from tulle_data_plane.logic.ejection import Ejections


def not_ejected(
    endpoints: Sequence[Endpoint], ejections: Ejections, now: float, tried: Collection[Endpoint], panic: float
) -> Sequence[Endpoint]:
    """Those to choose from: without the ejected, unless too few are left; and without the `tried`.

    Panic (Envoy's healthy_panic_threshold): when less than `panic` percent are well, the ejections are not believed,
    and all are used, rather than that the few that are left carry everything and fall as well. Unlike Envoy, only for a
    request's first try: one that has just been refused goes to somebody who is well, if there is anybody.
    """
    well = [endpoint for endpoint in endpoints if not ejections.ejected(endpoint, now)]
    if not tried:
        return well if len(well) * 100 >= len(endpoints) * panic and well else endpoints
    # all ejected: better to try one of them than to fail for certain
    return [e for e in well if e not in tried] or [e for e in endpoints if e not in tried]


class Zones:
    """The own zone first (Envoy's priority levels): what it can take as far as it is well, the rest spills over."""

    def __init__(self, settings: PreferZone, zone: str, random: Random) -> None:
        """`zone`: the proxy's own; empty: unknown, and there is no preference."""
        self._settings = settings
        self._zone = zone
        self._random = random
        self._here = 0  # endpoints in the own zone, well or not
        self._last: tuple[Sequence[Endpoint], list[Endpoint], list[Endpoint]] = ((), [], [])

    def update(self, endpoints: Sequence[Endpoint]) -> bool:
        """Endpoints have changed. False: there is nothing to prefer."""
        self._here = sum(endpoint.zone == self._zone for endpoint in endpoints) if self._zone else 0
        return max(1, self._settings.minimum) <= self._here < len(endpoints)

    def choose(self, well: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Of those that are well, the own zone's or the others', by a draw where the own cannot take all."""
        if well is not self._last[0]:
            near = [endpoint for endpoint in well if endpoint.zone == self._zone]
            self._last = (well, near, [endpoint for endpoint in well if endpoint.zone != self._zone])
        _, near, far = self._last
        if not far or not near:
            return well
        share = len(near) / self._here * self._settings.overprovisioning
        return near if share >= 1 or self._random.random() < share else far


class Warming:
    """Endpoints that are new get less than their share for a while (Envoy's slow start).

    Envoy scales weights, which only some of its balancers know; here one that is picked while it is cold must win a
    draw, or the balancer is asked again: so every balancer has it, a stranger's too. The shares come out alike.
    """

    MAX_DRAWS = 8
    """Then it is taken: a balancer that would name the same one for ever (ring-hash) must not be asked for ever."""

    def __init__(self, settings: SlowStart, random: Random) -> None:
        self._window = float(settings.window)
        self._minimum = settings.minimum / 100
        self._exponent = 1 / settings.aggression
        self._random = random
        self._since: dict[Address, float] = {}
        self._unseen: set[Address] = set()  # new, and no request has come by since

    def needed(self) -> bool:
        """Is anybody cold?"""
        return bool(self._since or self._unseen)

    def update(self, before: Sequence[Endpoint], after: Sequence[Endpoint]) -> None:
        """Endpoints have changed. Who is new is cold, unless all are: then nobody else could carry the load."""
        known, here = {one.address for one in before}, {one.address for one in after}
        self._since = {address: since for address, since in self._since.items() if address in here}
        self._unseen &= here
        if known & here:
            self._unseen |= here - known

    def inherit(self, before: Warming) -> None:
        """Go on where another one was."""
        self._since, self._unseen = dict(before._since), set(before._unseen)

    def request(self, now: float) -> None:
        """A request is there: for who is new, time begins."""
        if self._unseen:
            self._since.update(dict.fromkeys(self._unseen, now))
            self._unseen.clear()

    def accepts(self, endpoint: Endpoint, now: float) -> bool:
        """May this request go to `endpoint`? By chance, the likelier the longer it is there."""
        since = self._since.get(endpoint.address)
        if since is None:
            return True
        age = (now - since) / self._window
        if age >= 1:
            del self._since[endpoint.address]
            return True
        return self._random.random() < max(self._minimum, float(age**self._exponent))
