"""Timeout: deadlines for the whole of a request, for each of its tries, and for silence in the middle of an answer.

Owns the clocks. Refuses to know how an answer that never came is told to the client: it raises `TimedOut`, and the
proxy's table of failures turns that into 504 (RFC 9110 section 15.6.5).
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
    Move,
    Policy,
    Position,
    Response,
    Runtime,
    TimedOut,
    WrappedBody,
    hookimpl,
    pass_by,
)


class TimeoutConfig(Config):
    """How long things may take. What is not given has no limit here."""

    request: Duration | None = None
    """From the request's head to the last byte of the answer, all tries together. "0s": no limit (GEP-1742)."""
    per_try: Duration | None = None
    """The same of each try (GEP-1742's backendRequest). "0s": no limit."""
    idle: Duration | None = None
    """The longest silence between two pieces of an answer that has begun. "0s": no limit."""


class Timeout(Policy[TimeoutConfig]):
    """Fails a request with 504 when its time has run out."""

    config = TimeoutConfig
    position = Position.TIMEOUT
    direction = "outbound"
    uses_trio = False

    def check(self, config: TimeoutConfig) -> list[str]:
        """What types cannot say."""
        if config.request is None and config.per_try is None and config.idle is None:
            return ['request, per_try, idle: none is there; at least one, such as request: 2s ("0s" lifts a limit)']
        if config.request and config.per_try and config.per_try > config.request:
            return [f"per_try: at most request, which is {config.request:g} s; got {config.per_try:g} s"]
        return []

    def build(self, config: TimeoutConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, within `config.request`; its answer without longer silence than `config.idle`."""
        if config.idle:
            next = _idle(next, runtime, float(config.idle))
        return _within(next, runtime, config.request, "complete answer", "the timeout policy sets")

    def build_endpoint(self, config: TimeoutConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, within `config.per_try`."""
        return _within(next, runtime, config.per_try, "complete answer of a try", "the timeout policy sets for each")


def _within(next: Handler, runtime: Runtime, limit: Duration | None, what: str, whose: str) -> Handler:
    if not limit:
        return next
    seconds = float(limit)
    error = f"no {what} within {seconds:g} s, the limit that {whose}"
    now, timeout = runtime.now, runtime.timeout

    async def handle(exchange: Exchange) -> Response:
        deadline = now() + seconds
        with timeout(seconds, error):
            response = await next(exchange)
        if not isinstance(response.body, bytes):
            response.body = _TimedBody(response.body, deadline, error, runtime)
        return response

    return handle


def _idle(next: Handler, runtime: Runtime, seconds: float) -> Handler:
    error = f"nothing more of the answer for {seconds:g} s, the longest silence that the timeout policy allows"

    async def handle(exchange: Exchange) -> Response:
        response = await next(exchange)
        if not isinstance(response.body, bytes):
            response.body = _IdleBody(response.body, seconds, error, runtime)
        return response

    return handle


class _TimedBody(WrappedBody):
    """A body that is still arriving when its request's handler has returned: what is left of the time is for it."""

    def __init__(self, body: Body, deadline: float, error: str, runtime: Runtime) -> None:
        super().__init__(body)
        self._deadline, self._error, self._runtime = deadline, error, runtime

    async def read(self) -> bytes:
        left = self._deadline - self._runtime.now()
        if left <= 0:
            raise TimedOut(self._error)
        with self._runtime.timeout(left, self._error):
            return await self.inner.read()

    async def pass_by(self, move: Move) -> None:
        """Within what is left of the time."""
        left = self._deadline - self._runtime.now()
        if left <= 0:
            raise TimedOut(self._error)
        with self._runtime.timeout(left, self._error):
            await pass_by(self.inner, move)


class _IdleBody(WrappedBody):
    """A body each piece of which has its own time."""

    def __init__(self, body: Body, seconds: float, error: str, runtime: Runtime) -> None:
        super().__init__(body)
        self._seconds, self._error, self._runtime = seconds, error, runtime

    async def read(self) -> bytes:
        with self._runtime.timeout(self._seconds, self._error):
            return await self.inner.read()


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `timeout`."""
    return {"timeout": Timeout()}
