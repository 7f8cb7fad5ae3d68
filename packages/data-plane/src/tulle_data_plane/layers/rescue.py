"""Rescue: turns failures into answers. The only place that knows status codes.

Sits around everything that may fail, so that a client always gets an answer that says what happened
(`tulle-reason`), and the log has one line that says what to look at next.
"""

from __future__ import annotations

import logging

from tulle_plugin_api import Exchange, Failure, Handler, Headers, Refused, Response

from tulle_data_plane.containment import must_go_on
from tulle_data_plane.errors import status_of
from tulle_data_plane.log import log, say


def rescue(next: Handler) -> Handler:
    """Around `next`: every Failure becomes its status, everything unforeseen 500. Cancelled goes on."""

    async def handler(exchange: Exchange) -> Response:
        try:
            return await next(exchange)
        except Refused as refused:
            return _answer(exchange, refused, refused.status, refused.fields, "the policy that refused it")
        except Failure as failure:
            status, hint = status_of(failure)
            return _answer(exchange, failure, status, {}, hint)
        except BaseException as error:
            if must_go_on(error):
                raise
            log.exception("unforeseen error in %s %s", exchange.method, exchange.path)
            unforeseen = Failure(f"unforeseen: {type(error).__name__}", reason="internal-error")
            status, hint = status_of(unforeseen)
            return _answer(exchange, unforeseen, status, {}, hint)

    return handler


def _answer(exchange: Exchange, failure: Failure, status: int, fields: dict[str, str], hint: str) -> Response:
    say(
        logging.WARNING,
        "request failed",
        reason=failure.reason,
        detail=failure.detail,
        direction=exchange.direction,
        method=exchange.method,
        authority=exchange.authority,
        path=exchange.path,
        status=status,
        look_at=hint,
    )
    headers = Headers.of([("content-type", "text/plain"), ("tulle-reason", failure.reason), *fields.items()])
    body = b"" if exchange.method == "HEAD" else f"{failure.reason}: {failure.detail}\n".encode()
    return Response(status, headers, body, reason=failure.reason)
