"""Balance: chooses the endpoint of each try. Requests are balanced, one by one, never connections.

Owns a backend's endpoints, its balancer, and which endpoints are ejected because they did not accept a connection:
a request that reached nobody may always be sent to somebody else, so a stale endpoint costs no request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tulle_plugin_api import Balancer, Endpoint, Exchange, Handler, Response

from tulle_data_plane.errors import AppRefused, ConnectFailed, NoBackend, NoEndpoints
from tulle_data_plane.logic.ejection import Ejections

MAX_CONNECT_TRIES = 4
"""Endpoints tried for one request when none accepts a connection."""


class Backend:
    """One backend's endpoints and balancer. Endpoints change in place: the balancer keeps what it has learnt."""

    def __init__(self, name: str, resolved: bool, balancer: Balancer, endpoints: Sequence[Endpoint]) -> None:
        """`resolved`: the Service exists; else requests fail with NoBackend."""
        self.name = name
        self.resolved = resolved
        self.balancer = balancer
        self.endpoints = tuple(endpoints)
        self.ejections = Ejections()
        # only balancers that want feedback pay for it
        self.feedback = type(balancer).started is not Balancer.started or (
            type(balancer).finished is not Balancer.finished
        )

    def update(self, resolved: bool, endpoints: Sequence[Endpoint]) -> None:
        """Take over new endpoints."""
        self.resolved, self.endpoints = resolved, tuple(endpoints)
        self.ejections.keep(self.endpoints)

    def pick(self, exchange: Exchange, now: float, tried: Sequence[Endpoint]) -> Endpoint:
        """The endpoint for this try. Raises NoBackend or NoEndpoints."""
        endpoints: Sequence[Endpoint] = self.endpoints
        if self.ejections.any or tried:
            endpoints = [e for e in endpoints if e not in tried and not self.ejections.ejected(e, now)]
            # all ejected: better to try one of them than to fail for certain
            endpoints = endpoints or [e for e in self.endpoints if e not in tried]
        if endpoints:
            return self.balancer.pick(endpoints, exchange)
        if not self.resolved:
            raise NoBackend(f"{self.name}: there is no such Service or port")
        raise NoEndpoints(f"{self.name} has no ready endpoint" + (" that accepts a connection" if tried else ""))


def balance(backends: Mapping[str, Backend], now: Callable[[], float], next: Handler) -> Handler:
    """Choose an endpoint of `exchange.backend`, then call `next`; choose another while none accepts a connection."""

    async def handler(exchange: Exchange) -> Response:
        backend = backends[exchange.backend]
        tried: list[Endpoint] = []
        while True:
            at = now()
            endpoint = exchange.endpoint = backend.pick(exchange, at, tried)
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
                backend.ejections.failed(endpoint, at, lasting=not isinstance(error, AppRefused))
                tried.append(endpoint)
                if len(tried) >= MAX_CONNECT_TRIES or len(tried) >= len(backend.endpoints):
                    raise
            finally:
                if backend.feedback:
                    # until the head of the answer; fine here, a production mesh would count to the body's end
                    backend.balancer.finished(endpoint, now() - at, failed)

    return handler
