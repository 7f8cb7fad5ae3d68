"""Route: chooses what happens to a request, and which backend it is for: by what it is like, then by weight.

Owns the choice among weighted backends (Gateway API, HTTPBackendRef.weight: a share is weight / sum of weights).
Sits outside the policies, since which policies apply depends on the route.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

from tulle_plugin_api import Exchange, Handler, Response

from tulle_data_plane.errors import NoBackend, NoRoute
from tulle_data_plane.logic.table import NONE

if TYPE_CHECKING:
    from tulle_data_plane.logic.matching import Matcher

SHARE = "route.share"
"""The attribute of an exchange that holds its Share, where a route of the destination has filters."""


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A backend's part of a route's requests, and what is done to requests that go there."""

    backend: str
    weight: int
    filters: Handler | None = None  # the route's and then the backend's, around what comes below them
    mirrors: Handler | None = None  # the same of those that belong below retry


def routed(matcher: Matcher, handlers: Sequence[Handler]) -> Handler:
    """Hand each exchange to the handler of the first row that fits; `handlers` has one for each row."""
    find = matcher.find

    def handler(exchange: Exchange) -> Awaitable[Response]:
        number = find(exchange)
        if number == NONE:
            raise NoRoute(
                f"{exchange.method} {exchange.path[:200]} fits no rule of the routes of "
                f"{exchange.service.authority if exchange.service else exchange.destination}"
            )
        return handlers[number](exchange)

    return handler


def route(name: str, shares: Sequence[Share], random: Random, next: Handler) -> Handler:
    """Mark each exchange with the route's `name` and the backend of one of `shares`, then call `next`.

    Nothing is left to do when the answer comes, so these are plain functions that hand on what `next` gives: a
    coroutine less for each request to wait through.
    """
    weighted = [share for share in shares if share.weight > 0]
    if any(share.filters or share.mirrors for share in weighted):
        pick = picker(name, weighted, random)

        def noted(exchange: Exchange) -> Awaitable[Response]:
            share = pick()
            exchange.route, exchange.backend = name, share.backend
            exchange.attributes[SHARE] = share
            return next(exchange)

        return noted
    if len(weighted) == 1:
        only = weighted[0].backend

        def single(exchange: Exchange) -> Awaitable[Response]:
            exchange.route, exchange.backend = name, only
            return next(exchange)

        return single

    names = [share.backend for share in weighted]
    sums = list(accumulate(share.weight for share in weighted))

    def split(exchange: Exchange) -> Awaitable[Response]:
        exchange.route = name
        if not names:
            raise _nobody(name)
        exchange.backend = names[bisect(sums, random.random() * sums[-1])]
        return next(exchange)

    return split


def picker(name: str, shares: Sequence[Share], random: Random) -> Callable[[], Share]:
    """A function that gives one of `shares` by weight. It raises NoBackend where none has any."""
    weighted = [share for share in shares if share.weight > 0]
    sums = list(accumulate(share.weight for share in weighted))

    def pick() -> Share:
        if not weighted:
            raise _nobody(name)
        return weighted[bisect(sums, random.random() * sums[-1])]

    return pick


def _nobody(name: str) -> NoBackend:
    # Gateway API: all weights zero, or no backendRefs at all
    return NoBackend(f"route {name} has no backend with a weight above 0")
