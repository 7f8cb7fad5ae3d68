"""Filters: what a route does to requests on their way, or answers in a service's stead (Gateway API, HTTPRouteFilter).

Owns redirects and rewrites, and the place where a request enters the filters of its own rule: policies are built once
for all rules that have the same ones, so what differs from rule to rule is found through the exchange's Share.
"""

from __future__ import annotations

from collections.abc import Awaitable

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Exchange, Handler, Headers, Response

from tulle_data_plane.layers.route import SHARE, Share
from tulle_data_plane.logic.locations import location, path_editor

REDIRECT = "redirect"
"""`tulle-reason` of an answer that a redirect made."""


def filtered(next: Handler) -> Handler:
    """The filters of the exchange's share, which lead to `next` themselves; `next` where it has none."""

    def handler(exchange: Exchange) -> Awaitable[Response]:
        share: Share = exchange.attributes.get(SHARE)  # type: ignore[assignment]
        return (next if share is None else share.filters or next)(exchange)

    return handler


def mirrored(next: Handler) -> Handler:
    """The same of what belongs below retry."""

    def handler(exchange: Exchange) -> Awaitable[Response]:
        share: Share = exchange.attributes.get(SHARE)  # type: ignore[assignment]
        return (next if share is None else share.mirrors or next)(exchange)

    return handler


def redirect(config: pb.Redirect) -> Handler:
    """Answer with another place to ask. Nothing comes below it."""
    edit = path_editor(config.path)
    status = config.status or 302

    async def handler(exchange: Exchange) -> Response:
        path = exchange.path if edit is None else edit(exchange.path)
        listener = exchange.service.port if exchange.service is not None else exchange.destination.port
        where = location(config, exchange.authority, path, listener)
        fields = Headers.of([("location", where), ("tulle-reason", REDIRECT)])
        return Response(status, fields, b"", reason=REDIRECT)

    return handler


def rewrite(config: pb.Rewrite, next: Handler) -> Handler:
    """Send the request on for another path, host, or both."""
    edit, hostname = path_editor(config.path), config.hostname

    def handler(exchange: Exchange) -> Awaitable[Response]:
        if edit is not None:
            exchange.path = edit(exchange.path)
        if hostname:
            exchange.authority = hostname
            exchange.headers.set("host", hostname)
        return next(exchange)

    return handler
