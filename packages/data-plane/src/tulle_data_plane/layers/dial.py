"""Dial: sends the exchange to its endpoint, over a kept connection where there is one. The innermost layer.

Owns the choice between a kept and a new connection, and the one replay that HTTP allows: a kept connection may be
closed by the server just as we use it; when not a byte of an answer came, the request is sent again on a new one, if
that can do no harm: its method is idempotent, or not a byte of it was taken (RFC 9112 section 9.3.1, RFC 9110 section
9.2.2).
"""

from __future__ import annotations

from tulle_plugin_api import Exchange, Failure, Handler, Response

from tulle_data_plane.driver import Driver
from tulle_data_plane.errors import AppRefused, BadAnswer, ConnectFailed, ConnectTimedOut, UpstreamBroke
from tulle_data_plane.shell.http1_client import Nothing, Unsent, exchange_over
from tulle_data_plane.shell.pool import Pool
from tulle_data_plane.shell.relay import Tunnel
from tulle_data_plane.wire import http1

_SEEN_THERE: dict[str, tuple[type[Failure], str]] = {
    AppRefused.reason: (AppRefused, "does not accept connections"),
    UpstreamBroke.reason: (UpstreamBroke, "broke off before its answer was complete"),
    BadAnswer.reason: (BadAnswer, "gave an answer that breaks the protocol"),
}
"""`tulle-reason` of the proxy next to an application -> what the same would be without that proxy, in words."""

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2."""


def dial_http1(driver: Driver, pool: Pool, parser: http1.ResponseParser, *, trust_reason: bool) -> Handler:
    """Send to `exchange.endpoint` as HTTP/1.1.

    `trust_reason`: the endpoint has a proxy of ours, and what that says of its application is raised here as what it
    is: where the application was not reached, the balancer tries another endpoint; where it broke off, retry may.
    """
    give_back = pool.give_back

    async def handler(exchange: Exchange) -> Response:
        endpoint = exchange.endpoint
        assert endpoint is not None
        address = endpoint.address
        kept = pool.take(address)
        if kept is not None:
            try:
                response = await exchange_over(kept, exchange, driver, parser, give_back)
            except Nothing as nothing:
                harmless = exchange.method in IDEMPOTENT or isinstance(nothing, Unsent)
                if not harmless or not isinstance(exchange.body, bytes):
                    raise
                response = await exchange_over(await pool.connect(address), exchange, driver, parser, give_back)
        else:
            response = await exchange_over(await pool.connect(address), exchange, driver, parser, give_back)
        if response.status >= 500 and trust_reason and endpoint.meshed:
            failed = _SEEN_THERE.get(response.headers.get("tulle-reason") or "")
            # a body that was passed on piece by piece is gone: it cannot be sent to another endpoint
            if failed is not None and (failed[0] is not AppRefused or isinstance(exchange.body, bytes)):
                if not isinstance(response.body, bytes):
                    await response.body.aclose()
                raise failed[0](f"the application at {address} {failed[1]}")
        return response

    return handler


def dial_tcp(pool: Pool) -> Handler:
    """Connect to `exchange.endpoint`; the answer is the connection (a Tunnel)."""

    async def handler(exchange: Exchange) -> Response:
        assert exchange.endpoint is not None
        return Tunnel(await pool.connect(exchange.endpoint.address))

    return handler


def as_app(next: Handler) -> Handler:
    """Inbound: a connection that fails is the application's refusal, and the proxy at the client may try elsewhere.

    Only a proxy says so: an application that passes on another's answer (or forges one) has the reason taken off, or
    the proxy at the client would send a request again that this application has already handled.
    """

    async def handler(exchange: Exchange) -> Response:
        try:
            response = await next(exchange)
            if response.status >= 400:
                response.headers.remove("tulle-reason")
            return response
        except ConnectTimedOut:
            raise
        except ConnectFailed as error:
            raise AppRefused(error.detail) from None

    return handler
