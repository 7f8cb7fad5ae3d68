"""What stands below a policy in the suites: an upstream that answers, fails, is slow, or breaks off.

Owns the behaviours, and the count of what was asked and of bodies that somebody must look after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tulle_plugin_api.contract import samples
from tulle_plugin_api.errors import Failure
from tulle_plugin_api.exchange import Exchange, Response
from tulle_plugin_api.headers import Headers
from tulle_plugin_api.runtime import Runtime


class Bug(Exception):
    """Raised by a layer below: something that no policy has heard of."""


class Upstream:
    """A handler. `behaviour` names a row of BEHAVIOURS."""

    def __init__(self, behaviour: str, runtime: Runtime) -> None:
        self.runtime = runtime
        self.behaviour = BEHAVIOURS[behaviour]
        self.asked: list[str] = []  # paths
        self.bodies: list[samples.Pieces] = []
        self.error: BaseException | None = None  # what it raised last

    async def __call__(self, exchange: Exchange) -> Response:
        """As the layers below do: endpoint chosen, the request's body read, an answer or an error."""
        assert isinstance(exchange, Exchange), f"next was called with {exchange!r}; expected the Exchange"
        self.asked.append(exchange.path)
        exchange.endpoint = samples.endpoint(1 + len(self.asked) % 3)
        exchange.attempts += 1
        try:
            if not isinstance(exchange.body, bytes):
                while await exchange.body.read():
                    pass
            return await self.behaviour(self, exchange)
        except BaseException as error:
            self.error = error
            raise

    def pieces(self, *pieces: bytes, broken: bool = False) -> samples.Pieces:
        """A body that arrives in pieces, counted."""
        body = samples.Pieces(*pieces, broken=broken)
        self.bodies.append(body)
        return body


Behaviour = Callable[[Upstream, Exchange], Awaitable[Response]]


async def _ok(upstream: Upstream, exchange: Exchange) -> Response:
    # echoes the path as far as it may stand in a field: answers of two requests must not be mixed up
    fields = [("content-type", "text/plain")] + ([("x-path", exchange.path)] if exchange.path.isascii() else [])
    return Response(200, Headers.of(fields), b"hello")


async def _empty(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(204)


async def _not_found(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(404, body=b"no")


async def _overloaded(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(503, Headers.of([("retry-after", "1")]), b"later")


async def _overloaded_in_pieces(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(503, body=upstream.pieces(b"la", b"ter"))


async def _in_pieces(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(200, body=upstream.pieces(b"hel", b"lo"), trailers=Headers.of([("grpc-status", "0")]))


async def _breaks_off(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(200, body=upstream.pieces(b"hel", broken=True))


async def _slow(upstream: Upstream, exchange: Exchange) -> Response:
    await upstream.runtime.sleep(3)
    return await _ok(upstream, exchange)


async def _fails(upstream: Upstream, exchange: Exchange) -> Response:
    raise Failure("nobody accepts a connection", reason="connect-failed")


async def _raises(upstream: Upstream, exchange: Exchange) -> Response:
    raise Bug("a bug of a layer below")


async def _changes_protocol(upstream: Upstream, exchange: Exchange) -> Response:
    return Response(101, Headers.of([("upgrade", "websocket")]), upstream.pieces(b"\x81\x00"))


BEHAVIOURS: Mapping[str, Behaviour] = {
    "ok": _ok,
    "empty": _empty,
    "not found": _not_found,
    "overloaded": _overloaded,
    "overloaded, in pieces": _overloaded_in_pieces,
    "in pieces": _in_pieces,
    "breaks off": _breaks_off,
    "slow": _slow,
    "fails": _fails,
    "raises": _raises,
    "changes protocol": _changes_protocol,
}
