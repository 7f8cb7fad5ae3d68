"""Rescue: turns failures into answers. The only place that knows status codes.

Sits around everything that may fail, so that a client always gets an answer that says what happened
(`tulle-reason`), and the log has one line that says what to look at next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from tulle_plugin_api import Exchange, Failure, Handler, Headers, Refused, Response

from tulle_data_plane.containment import must_go_on
from tulle_data_plane.errors import PolicyFailed, status_of
from tulle_data_plane.log import log, say


def rescue(next: Handler, blame: Callable[[BaseException], str] = lambda error: "") -> Handler:
    """Around `next`: every Failure becomes its status, everything unforeseen 500. Cancelled goes on.

    `blame` is told of what is unforeseen, and says whose it is: the name of a plugin, or "" for our own fault.
    """

    async def handler(exchange: Exchange) -> Response:
        try:
            return await next(exchange)
        except Refused as refused:
            try:
                return _answer(exchange, refused, refused.status, refused.fields, "the policy that refused it")
            except (ValueError, TypeError, AttributeError) as error:  # its status or fields are none
                failed = PolicyFailed(f"a policy refused in a way that cannot be sent: {error}")
                return _answer(exchange, failed, *_row(failed))
        except Failure as failure:
            return _answer(exchange, failure, *_row(failure))
        except BaseException as error:
            if must_go_on(error):
                raise
            plugin = blame(error)
            if plugin:
                failed = PolicyFailed(f"plugin {plugin} failed")
                return _answer(exchange, failed, *_row(failed))
            log.exception("unforeseen error in %s %s", exchange.method, exchange.path)
            unforeseen = Failure(f"unforeseen: {type(error).__name__}", reason="internal-error")
            return _answer(exchange, unforeseen, *_row(unforeseen))

    return handler


def _row(failure: Failure) -> tuple[int, dict[str, str], str]:
    status, hint = status_of(failure)
    return status, {}, hint


def _answer(exchange: Exchange, failure: Failure, status: int, fields: dict[str, str], hint: str) -> Response:
    if type(status) is not int or not 400 <= status <= 599:
        raise ValueError(f"a refusal's status is 400 to 599, not {status!r}")
    headers = Headers.of([("content-type", "text/plain"), ("tulle-reason", failure.reason), *fields.items()])
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
    body = b"" if exchange.method == "HEAD" else f"{failure.reason}: {failure.detail}\n".encode()
    return Response(status, headers, body, reason=failure.reason)
