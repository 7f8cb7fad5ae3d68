"""Route: chooses what happens to a request, and which backend it is for, by weight.

Owns the choice among weighted backends (Gateway API, HTTPBackendRef.weight: a share is weight / sum of weights).
Sits outside the policies, since which policies apply depends on the route.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from tulle_plugin_api import Exchange, Handler, Response

from tulle_data_plane.errors import NoBackend


def route(name: str, backends: Sequence[tuple[str, int]], random: Random, next: Handler) -> Handler:
    """Mark each exchange with the route's `name` and one of `backends` (name, weight), then call `next`."""
    weighted = [(backend, weight) for backend, weight in backends if weight > 0]
    if len(weighted) == 1:
        only = weighted[0][0]

        async def single(exchange: Exchange) -> Response:
            exchange.route, exchange.backend = name, only
            return await next(exchange)

        return single

    names = [backend for backend, _ in weighted]
    sums = list(accumulate(weight for _, weight in weighted))

    async def split(exchange: Exchange) -> Response:
        if not names:  # Gateway API: all weights zero, or no backendRefs at all
            raise NoBackend(f"route {name} has no backend with a weight above 0")
        exchange.route = name
        exchange.backend = names[bisect(sums, random.random() * sums[-1])]
        return await next(exchange)

    return split
