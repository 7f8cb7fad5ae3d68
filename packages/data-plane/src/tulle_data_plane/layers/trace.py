"""Trace: gives an exchange its span, and writes it to the head that goes on, so that the next hop's span is its child.

Owns where that happens, not how contexts look (`tulle_plugin_api.trace`). It is there only when some exporter tells of
spans: without one, trace headers pass as they are. Outbound makes the client's span of a hop, inbound the server's;
they join up by the head between them, and with the application's own when it passes its headers on.
"""

from __future__ import annotations

from tulle_plugin_api import Exchange, Handler, Response
from tulle_plugin_api.trace import Tracer


def trace(tracer: Tracer, next: Handler) -> Handler:
    """Once a request, above retries: tries are parts of one span."""

    async def handler(exchange: Exchange) -> Response:
        exchange.span = tracer.begin(exchange.headers)
        return await next(exchange)

    return handler
