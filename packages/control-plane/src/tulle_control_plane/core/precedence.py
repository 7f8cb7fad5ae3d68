"""Precedence: of several matches that fit a request, which one decides (Gateway API, HTTPRouteRule.matches).

Owns the order, across all rules of all routes of a Service. First that differs:

1. conditions on the client (ours, `tulle.dev/from-*`), most first: a route for some clients is to them what a consumer
   route is to its namespace
2. kind of path match: exact, regular expression, prefix. (The specification leaves regular expressions to us; a prefix
   "/" for the rest must not hide them.)
3. of prefixes and regular expressions the longer
4. a match on the method
5. the number of header matches, then of query parameter matches
6. the older route; then "namespace/name" in alphabetical order
7. the earlier rule, the earlier match

For GRPCRoutes 2 to 5 are: characters of the matching service, of the matching method, number of header matches.
A rule with a CORS filter that matches by method takes that method's preflights as well (preflight_of), where no match
that somebody wrote for the same path and the method OPTIONS does.

A route without a timestamp (the lab's, from a file) counts as older than those that have one.
"""

from __future__ import annotations

from typing import Any

from tulle_control_plane.core.objects import AnyRoute, Match

_KINDS = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}
_ANY_PATH = (_KINDS["PathPrefix"], -1)  # as the prefix "/"


def route_order(route: AnyRoute) -> tuple[str, str]:
    """Sorts routes: 6."""
    return route.created, f"{route.namespace}/{route.name}"


def preflight_rank(route: AnyRoute, rule: int, number: int, match: Match) -> tuple[Any, ...]:
    """Where the preflights of what `match` takes are sorted in: as it, but after every match that somebody wrote."""
    clients, (kind, length, method, *counts), *rest = rank(route, rule, number, match)
    return (clients, (kind, length, method, 1, *counts), *rest)


def rank(route: AnyRoute, rule: int, number: int, match: Match) -> tuple[Any, ...]:
    """Sorts matches: the lowest decides. `rule` and `number`: places of the rule in the route and the match in it."""
    if match.grpc is not None:
        service, method = match.grpc
        specific: tuple[int, ...] = (-service, -method, -len(match.headers))
    else:
        kind, length = _ANY_PATH
        if match.path is not None:
            kind = _KINDS[match.path.kind]
            length = 0 if match.path.kind == "Exact" else -len(match.path.value)
        specific = (kind, length, not match.method, -len(match.headers), -len(match.query))
    return (-len(route.clients), specific, *route_order(route), rule, number)
