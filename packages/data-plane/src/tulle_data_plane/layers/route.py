"""Route: chooses what happens to a request, and which backend it is for, by weight.

Owns the choice among weighted backends (Gateway API, HTTPBackendRef.weight: a share is weight / sum of weights).
Sits outside the policies, since which policies apply depends on the route.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Awaitable, Sequence
from itertools import accumulate
from random import Random

from tulle_plugin_api import Exchange, Handler, Response

from tulle_data_plane.errors import NoBackend


def route(name: str, backends: Sequence[tuple[str, int]], random: Random, next: Handler) -> Handler:
    """Mark each exchange with the route's `name` and one of `backends` (name, weight), then call `next`.

    Nothing is left to do when the answer comes, so these are plain functions that hand on what `next` gives: a
    coroutine less for each request to wait through.
    """
    weighted = [(backend, weight) for backend, weight in backends if weight > 0]
    if len(weighted) == 1:
        only = weighted[0][0]

        def single(exchange: Exchange) -> Awaitable[Response]:
            exchange.route, exchange.backend = name, only
            return next(exchange)

        return single

    names = [backend for backend, _ in weighted]
    sums = list(accumulate(weight for _, weight in weighted))

    def split(exchange: Exchange) -> Awaitable[Response]:
        if not names:  # Gateway API: all weights zero, or no backendRefs at all
            raise NoBackend(f"route {name} has no backend with a weight above 0")
        exchange.route = name
        exchange.backend = names[bisect(sums, random.random() * sums[-1])]
        return next(exchange)

    return split
