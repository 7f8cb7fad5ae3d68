"""Balance: chooses the endpoint of each try. Requests are balanced, one by one, never connections.

Owns a backend's endpoints, its balancer, and which endpoints are ejected because they did not accept a connection:
a request that reached nobody may always be sent to somebody else, so a stale endpoint costs no request. What every
balancer has without doing anything (panic, the own zone, slow starts) is decided in logic/spreading.py before it picks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeAlias

from tulle_plugin_api import Balancer, Endpoint, Exchange, Handler, Response
from tulle_plugin_api.balancing import Shared

from tulle_data_plane.errors import AppRefused, ConnectFailed, NoBackend, NoEndpoints
from tulle_data_plane.logic.ejection import Ejections
from tulle_data_plane.logic.spreading import Warming, Zones, not_ejected

MAX_CONNECT_TRIES = 4
"""Endpoints tried for one request when none accepts a connection."""


class Backend:
    """One backend's endpoints and balancer. Endpoints change in place: the balancer keeps what it has learnt."""

    def __init__(
        self,
        name: str,
        resolved: bool,
        balancer: Balancer,
        endpoints: Sequence[Endpoint],
        shared: Shared | None = None,
        *,
        zone: str = "",
        random: Random | None = None,
    ) -> None:
        """`resolved`: the Service exists; else requests fail with NoBackend. `zone`: the proxy's own, or empty."""
        self.name = name
        self.resolved = resolved
        self.balancer = balancer
        self.endpoints = tuple(endpoints)
        self.ejections = Ejections()
        shared, random = shared or Shared(), random or Random()
        self._panic = shared.panic
        self._zones = Zones(shared.prefer_zone, zone, random) if shared.prefer_zone else None
        self._zoned = False  # there is somebody near and somebody far
        self._warming = Warming(shared.slow_start, random) if shared.slow_start else None
        self._last: tuple[Endpoint, ...] = ()  # those that were not ejected: the same object while they are the same
        self._look()
        # only balancers that want feedback pay for it
        self.feedback = type(balancer).started is not Balancer.started or (
            type(balancer).finished is not Balancer.finished
        )

    def update(self, resolved: bool, endpoints: Sequence[Endpoint]) -> None:
        """Take over new endpoints."""
        before, self.endpoints = self.endpoints, tuple(endpoints)
        self.resolved = resolved
        self.ejections.keep(self.endpoints)
        if self._warming is not None:
            self._warming.update(before, self.endpoints)
        self._look()

    def inherit(self, before: Backend) -> None:
        """Take over what was found out about the endpoints by the Backend whose place this one takes; then `update`."""
        self.endpoints, self.ejections = before.endpoints, before.ejections
        if self._warming is not None and before._warming is not None:
            self._warming.inherit(before._warming)
        self._look()

    def _look(self) -> None:
        self._last = ()
        self._zoned = self._zones is not None and self._zones.update(self.endpoints)
        cold = self._warming is not None and self._warming.needed()
        # all that the hot path asks: is there anything to do but to pick from all of them?
        self._plain = bool(self.endpoints) and not self._zoned and not cold

    def pick(self, exchange: Exchange, now: float, tried: Sequence[Endpoint]) -> Endpoint:
        """The endpoint for this try. Raises NoBackend or NoEndpoints."""
        avoid = exchange.avoid
        if self._plain and not tried and not avoid and not self.ejections.until:
            return self.balancer.pick(self.endpoints, exchange)
        endpoints = self._choice(now, tried, avoid)
        if not endpoints:
            if not self.resolved:
                raise NoBackend(f"{self.name}: there is no such Service or port")
            raise NoEndpoints(f"{self.name} has no ready endpoint" + (" that accepts a connection" if tried else ""))
        picked = self.balancer.pick(endpoints, exchange)
        warming = self._warming
        if warming is not None and warming.needed() and len(endpoints) > 1:
            warming.request(now)
            for _ in range(warming.MAX_DRAWS):
                if warming.accepts(picked, now):
                    break
                picked = self.balancer.pick(endpoints, exchange)
            if not warming.needed():
                self._look()
        return picked

    def _choice(self, now: float, tried: Sequence[Endpoint], avoid: Sequence[Endpoint]) -> Sequence[Endpoint]:
        endpoints: Sequence[Endpoint] = self.endpoints
        if tried or avoid:
            # a second try, for which panic is none: somebody who is well, and if possible has not been asked yet
            left = not_ejected(endpoints, self.ejections, now, tried, 0)
            return [e for e in left if e not in avoid] or left
        if self.ejections.until:
            believed = tuple(not_ejected(endpoints, self.ejections, now, (), self._panic))
            # the same object, so that a balancer sees with `is` that nothing has changed
            endpoints = self._last = self._last if believed == self._last else believed
        if self._zones is not None and self._zoned:
            return self._zones.choose(endpoints)
        return endpoints


Pick: TypeAlias = Callable[[Backend, Exchange, float, Sequence[Endpoint]], Endpoint]


def balance(
    backends: Mapping[str, Backend],
    now: Callable[[], float],
    next: Handler,
    pick: Pick = Backend.pick,
    *,
    ejected: Callable[[str], None] = lambda reason: None,
) -> Handler:
    """Choose an endpoint of `exchange.backend`, then call `next`; choose another while none accepts a connection.

    `ejected` is told why, whenever one is ejected for that.
    """

    async def handler(exchange: Exchange) -> Response:
        backend = backends[exchange.backend]
        tried: list[Endpoint] = []
        while True:
            at = now()
            endpoint = exchange.endpoint = pick(backend, exchange, at, tried)
            exchange.attempts += 1
            if backend.feedback:
                backend.balancer.started(endpoint)
            failed = True
            try:
                response = await next(exchange)
                failed = response.status >= 500
                return response
            except ConnectFailed as error:
                # Nothing of the request has reached an application. Gone pods are the usual reason.
                if backend.ejections.failed(endpoint, at, lasting=not isinstance(error, AppRefused)):
                    ejected(error.reason)
                tried.append(endpoint)
                if len(tried) >= MAX_CONNECT_TRIES or len(tried) >= len(backend.endpoints):
                    raise
            finally:
                if backend.feedback:
                    # until the head of the answer; fine here, a production mesh would count to the body's end
                    backend.balancer.finished(endpoint, now() - at, failed)

    return handler
