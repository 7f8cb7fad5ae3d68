"""Timeout: a deadline for the whole of a request, all its tries and the body of its answer included.

Owns one clock per request. Refuses to know how an answer that never came is told to the client: it raises
`TimedOut`, and the proxy's table of failures turns that into 504 (RFC 9110 section 15.6.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tulle_plugin_api import (
    Body,
    Config,
    Duration,
    Exchange,
    Handler,
    Policy,
    Position,
    Response,
    Runtime,
    TimedOut,
    hookimpl,
)


class TimeoutConfig(Config):
    """How long things may take."""

    request: Duration
    """From the request's head to the last byte of the answer, all tries together. "0s": no limit (GEP-1742)."""


class Timeout(Policy[TimeoutConfig]):
    """Fails a request with 504 when its time has run out."""

    config = TimeoutConfig
    position = Position.TIMEOUT
    uses_trio = False

    def build(self, config: TimeoutConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, within `config.request`."""
        seconds = float(config.request)
        if seconds == 0:
            return next
        error = f"no complete answer within {seconds:g} s, the limit that the timeout policy sets"

        async def handle(exchange: Exchange) -> Response:
            deadline = runtime.now() + seconds
            with runtime.timeout(seconds, error):
                response = await next(exchange)
            if not isinstance(response.body, bytes):
                response.body = _TimedBody(response.body, deadline, error, runtime)
            return response

        return handle


class _TimedBody:
    """A body that is still arriving when its request's handler has returned: what is left of the time is for it."""

    def __init__(self, body: Body, deadline: float, error: str, runtime: Runtime) -> None:
        self._body, self._deadline, self._error, self._runtime = body, deadline, error, runtime

    async def read(self) -> bytes:
        left = self._deadline - self._runtime.now()
        if left <= 0:
            raise TimedOut(self._error)
        with self._runtime.timeout(left, self._error):
            return await self._body.read()

    async def aclose(self) -> None:
        await self._body.aclose()


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `timeout`."""
    return {"timeout": Timeout()}
