"""HTTP/1.1 towards a client: reads requests off one connection, has each handled, writes the answers in order.

Owns the connection's loop: framing, keep-alive, the answer to a bad request, and telling observers when an exchange
has really ended, which is with the last byte and not when the handler returns. Refuses to know what handlers do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Protocol

import trio
from tulle_plugin_api import Address, Body, Direction, Exchange, Failure, Handler, Headers, Response, Service, pass_by

from tulle_data_plane.deadlines import Expired
from tulle_data_plane.driver import Driver, Stopped
from tulle_data_plane.errors import HeadTimedOut, PolicyFailed, RequestBroke, SlowReader, status_of
from tulle_data_plane.limits import hit
from tulle_data_plane.log import say
from tulle_data_plane.shell.bulk import MANY
from tulle_data_plane.shell.channel import Channel
from tulle_data_plane.shell.http1_client import AnswerBody
from tulle_data_plane.shell.relay import Tunnel
from tulle_data_plane.shell.request_body import Pace, RequestBody
from tulle_data_plane.shell.splice import Pipes
from tulle_data_plane.wire import http1

LINE_FEED = 10
LINGER_SECONDS = 2.0
"""A client that goes on talking after its last answer is listened to for so long, at most."""


class Route(Protocol):
    """What a connection is served with: read anew for each request, so that a new configuration takes effect."""

    @property
    def handler(self) -> Handler:
        """What handles the next request."""

    @property
    def service(self) -> Service | None:
        """What the client called, as far as known."""


class Server:
    """What all connections of one direction share."""

    def __init__(
        self,
        direction: Direction,
        driver: Driver,
        ended: Callable[[Exchange], None],
        *,
        limits: http1.Limits,
        head_seconds: float,
        idle_seconds: float,
        write_seconds: float = 600.0,
        body_rate: float = 0.0,
        body_grace_seconds: float = 30.0,
        pipes: Pipes | None = None,
    ) -> None:
        """`ended` is told of each exchange once its last byte is handed over, or it has failed.

        Limits are those of limits.py. `pipes`: for large bodies; None: they are copied.
        """
        self.direction = direction
        self.driver = driver
        self.ended = ended
        self.limits = limits
        self.parser = http1.RequestParser(limits)
        self.head_seconds = head_seconds
        self.idle_seconds = idle_seconds
        self.write_seconds = write_seconds
        self.pipes = pipes
        self.body_pace = Pace(body_rate, body_grace_seconds, idle_seconds)
        self.draining = False  # answers say Connection: close
        self.in_flight = 0  # exchanges

    async def serve(self, channel: Channel, first: bytes, destination: Address, route: Route) -> Tunnel | None:
        """Serve one connection until it ends; `first` is what detection has already read. As a strand.

        Closes `channel`, unless it returns Tunnel: then the connection has become a tunnel, and is the caller's.
        """
        channel.patience = self.write_seconds
        try:
            return await self._loop(channel, first, destination, route)
        except OSError:  # broken
            channel.close()
        except Expired:  # idle for too long
            hit("idle_seconds")
            channel.close()
        except SlowReader:
            hit("write_seconds")
            channel.abort()
        except HeadTimedOut as error:
            hit("head_seconds")
            await self._refuse(channel, error, destination, route)
        except http1.ProtocolError as error:
            await self._refuse(channel, Failure(str(error), reason=error.reason), destination, route)
        except BaseException:
            channel.abort()
            raise
        return None

    async def _loop(self, channel: Channel, buffer: bytes, destination: Address, route: Route) -> Tunnel | None:
        driver, now, limits = self.driver, self.driver.now, self.limits
        direction, peer, identity, secured = self.direction, channel.peer, channel.identity, channel.secured
        recv, ask, known_heads = channel.recv, channel.ask, self.parser.known
        strand, idle_seconds = driver.current_strand(), self.idle_seconds

        async def interim(status: int, headers: Headers) -> None:
            try:
                await channel.send_all(http1.encode_response(status, headers.block, http1.NO_BODY))
            except (OSError, SlowReader):
                pass  # the answer itself will find out

        answer = b""  # what is to be sent before more is read
        while True:
            # --- the head ------------------------------------------------------------------------------
            if not buffer:
                # `with driver.deadline(idle_seconds)` by hand, since each request pays for it. There is no outer block.
                strand.deadline = driver.time + idle_seconds
                if strand.deadline <= strand.covered:
                    driver.wheel.arm(strand)
                try:
                    buffer = await (ask(answer) if answer else recv())
                except (trio.Cancelled, Stopped):
                    channel.close()  # nothing is in flight: an orderly end, though the drain is over
                    raise
                strand.deadline = inf
                if not buffer:
                    channel.close()
                    return None
                answer = b""
            head = known_heads.get(buffer) if len(buffer) <= http1.LARGEST_KNOWN else None
            if head is not None:  # one whole head, no body, and all of it was seen before
                rest = b""
            else:
                end = http1.find_head_end(buffer, 0, limits)
                if end < 0:
                    buffer, end = await self._rest_of_head(channel, buffer)
                    if end < 0:
                        channel.close()
                        return None
                head = self.parser.parse(buffer[:end])
                rest = buffer[end:]

            # --- the exchange ----------------------------------------------------------------------------
            exchange = Exchange(Headers(head.block))
            exchange.started = now()
            exchange.direction = direction
            exchange.method = head.method
            exchange.path = head.path
            exchange.authority = head.authority
            exchange.source = peer
            exchange.source_identity = identity
            exchange.secured = secured
            exchange.destination = destination
            exchange.service = route.service
            if head.version != "1.1":
                exchange.protocol = "http/1.0"
            else:
                exchange.interim = interim
            if head.te_trailers:
                exchange.wants_trailers = True
            if head.upgrade:
                exchange.upgrade = head.upgrade
            body: RequestBody | None = None
            kind, length = framing = head.framing
            if framing is http1.NO_BODY:
                buffer = rest
            elif kind == http1.LENGTH and len(rest) >= length:
                exchange.body, buffer = rest[:length], rest[length:]
                exchange.request_bytes = length
            else:
                body = RequestBody(driver, channel, head, rest, exchange, limits, self.body_pace, self.pipes)
                exchange.body, buffer = body, b""

            self.in_flight += 1
            try:
                response = await route.handler(exchange)
                exchange.answered = now()
                if body is not None:
                    body.answered()
                exchange.status = response.status
                exchange.reason = response.reason
                if response.__class__ is Tunnel and (response := _begun(exchange, response)).__class__ is Tunnel:
                    assert isinstance(response, Tunnel)
                    response.exchange = exchange
                    response.ahead = buffer if body is None else body.leftover
                    await self._switch(channel, response)
                    channel.patience = inf  # a tunnel's ends may be silent
                    return response
                # --- the answer ------------------------------------------------------------------------------
                keep = head.keep_alive and not self.draining and (body is None or body.done)
                if not keep and head.method == "CONNECT" and 200 <= response.status <= 299:
                    response = await _no_tunnel(exchange, response)
                payload = response.body
                if isinstance(payload, bytes):
                    exchange.response_bytes = len(payload)
                    data = None
                    if payload and head.method != "HEAD" and head.version == "1.1":
                        block = response.headers.block
                        data = http1.plain_answer(response.status, block, payload, response.agreed, keep)
                    if data is None:
                        data = (_whole if payload else _empty)(response, payload, keep, head.method, head.version)
                    if keep and not buffer and body is None and not channel.stale():
                        answer = data  # sent, and the next request awaited, in one wait
                    else:
                        await channel.send_all(data)
                else:
                    keep = await self._stream(channel, exchange, response, payload, head, keep)
                if body is not None:
                    buffer = body.leftover
                    keep = keep and body.done
            except BaseException as error:
                exchange.aborted = True
                if isinstance(error, (OSError, SlowReader)):
                    exchange.reason = getattr(error, "reason", RequestBroke.reason)
                raise
            finally:
                self.in_flight -= 1
                exchange.ended = now()
                self.ended(exchange)
            if not keep:
                await self._close(channel, more=bool(buffer) or not (body is None or body.done))
                return None

    async def _switch(self, channel: Channel, tunnel: Tunnel) -> None:
        """Tell the client that its connection is a tunnel now."""
        for name in ("content-length", "transfer-encoding"):  # a policy's: RFC 9110 section 9.3.6, RFC 9112 section 6.1
            tunnel.headers.remove(name)
        try:
            await channel.send_all(
                http1.encode_response(tunnel.status, tunnel.headers.block, http1.NO_BODY, upgrade=tunnel.upgrade)
            )
        except BaseException:
            tunnel.channel.abort()
            raise

    async def _close(self, channel: Channel, *, more: bool) -> None:
        """Close after an answer; `more`: the client has more to say, which nobody will read.

        To close with unread bytes is to reset, and the reset may overtake the answer. So our side ends, and what
        still comes is thrown away for a while (RFC 9112 section 9.6).
        """
        if more or channel.stale():
            try:
                channel.send_eof()
                with self.driver.deadline(LINGER_SECONDS, _Lingered()):
                    while await channel.recv():
                        pass
            except (OSError, _Lingered):
                pass
        channel.close()

    async def _rest_of_head(self, channel: Channel, buffer: bytes) -> tuple[bytes, int]:
        """More of a head that did not come whole. (b"", -1): the client went away."""
        with self.driver.deadline(self.head_seconds, HeadTimedOut(f"no complete head within {self.head_seconds:g} s")):
            partial = http1.PartialHead(self.limits)
            end = partial.add(buffer)
            while end < 0:
                data = await channel.recv()
                if not data:
                    return b"", -1
                end = partial.add(data)
        return bytes(partial.data), end

    async def _stream(
        self, channel: Channel, exchange: Exchange, response: Response, body: Body, head: http1.RequestHead, keep: bool
    ) -> bool:
        """Send a body that is still arriving; say whether the connection can be kept."""
        known = response.headers.get("content-length")
        framing = http1.answer_framing(
            http1.CHUNKED_BODY if known is None else http1.Framing(http1.LENGTH, int(known)),
            head.method,
            response.status,
            head.version,
        )
        chunked = framing.kind == http1.CHUNKED

        def moved(size: int) -> None:
            exchange.response_bytes += size

        async def move(body: Body) -> None:
            if isinstance(body, AnswerBody):
                await body.pour(channel, self.pipes, moved)

        keep = keep and framing.kind != http1.UNTIL_CLOSE
        try:
            start = http1.encode_response(response.status, response.headers.block, framing, keep, head.version)
            if framing.kind == http1.NONE:  # a policy's body, where none may follow
                await channel.send_all(start)
                return keep
            if not getattr(body, "at_hand", False):  # nobody knows when it comes: an event stream's may take minutes
                await channel.send_all(start)
                start = b""
            piece = await body.read()
            exchange.response_bytes += len(piece)
            await channel.send_all(start + (http1.encode_chunk(piece) if chunked and piece else piece))
            while piece:
                if not chunked and len(piece) >= MANY:
                    await pass_by(body, move)
                piece = await body.read()
                exchange.response_bytes += len(piece)
                if piece:
                    await channel.send_all(http1.encode_chunk(piece) if chunked else piece)
            if chunked:
                trailers = response.trailers or getattr(body, "trailers", None) if head.te_trailers else None
                await channel.send_all(http1.encode_last_chunk(trailers))
            elif framing.kind == http1.LENGTH and exchange.response_bytes != framing.length:
                raise PolicyFailed(f"a body of {exchange.response_bytes} bytes, announced with content-length {known}")
        except Failure as failure:
            # The status has gone out, or is about to be a lie: the client must see a truncation (RFC 9112 section 8).
            exchange.aborted, exchange.reason = True, failure.reason
            if isinstance(failure, SlowReader):
                hit("write_seconds")
            say(logging.WARNING, "answer broken off", reason=failure.reason, detail=failure.detail)
            channel.abort()
            return False
        finally:
            await body.aclose()
        return keep

    async def _refuse(self, channel: Channel, failure: Failure, destination: Address, route: Route) -> None:
        """Answer what is not a request, and close. Nothing of it has gone upstream."""
        status, hint = status_of(failure)
        say(logging.WARNING, "request refused", reason=failure.reason, detail=failure.detail, source=str(channel.peer),
            destination=str(destination), hint=hint)
        exchange = Exchange()
        exchange.direction, exchange.source, exchange.destination = self.direction, channel.peer, destination
        exchange.service, exchange.status, exchange.reason = route.service, status, failure.reason
        exchange.started = exchange.answered = exchange.ended = self.driver.now()
        fields = Headers.of([("content-type", "text/plain"), ("tulle-reason", failure.reason)])
        payload = f"{failure.detail}\n".encode()
        exchange.response_bytes = len(payload)
        try:
            await channel.send_all(_whole(Response(status, fields), payload, False, "", "1.1"))
        except (OSError, SlowReader):
            pass
        self.ended(exchange)
        await self._close(channel, more=True)


def _begun(exchange: Exchange, tunnel: Response) -> Response:
    """`tunnel`, or an ordinary answer of its status where a policy has given it one that begins none: that refuses."""
    assert isinstance(tunnel, Tunnel)
    if 200 <= tunnel.status <= 299 if exchange.method == "CONNECT" else tunnel.status == 101:
        return tunnel
    tunnel.channel.abort()
    return Response(tunnel.status, tunnel.headers, reason=tunnel.reason)


async def _no_tunnel(exchange: Exchange, response: Response) -> Response:
    """What to answer a CONNECT to which a policy has said 2xx: the client would take its connection for a tunnel."""
    if not isinstance(response.body, bytes):
        await response.body.aclose()
    reason = exchange.reason = PolicyFailed.reason
    exchange.status = 500
    say(logging.WARNING, "request failed", reason=reason, status=500, method="CONNECT", authority=exchange.authority,
        detail=f"a policy answered CONNECT with {response.status}, but there is no tunnel",
        look_at="the policies of the service: a refusal's status is 400 to 599")
    return Response(500, Headers.of([("tulle-reason", reason)]), reason=reason)


def _whole(response: Response, payload: bytes, keep: bool, method: str, version: str) -> bytes:
    """An answer whose body is at hand. Where none may follow (RFC 9112 section 6.3), none does: a client would take
    the body that a policy made all the same for the beginning of its next answer.
    """
    if response.status in (204, 304):
        return _empty(response, b"", keep, method, version)
    headers = _with_length(response.headers, len(payload))
    head = http1.encode_response(response.status, headers.block, http1.NO_BODY, keep, version)
    return head if method == "HEAD" else head + payload


def _empty(response: Response, _: bytes, keep: bool, method: str, version: str) -> bytes:
    """An answer without a body: it says so, unless it may not have one or (HEAD) tells of another's (RFC 9110 8.6)."""
    headers = response.headers
    if method != "HEAD" and response.status not in (204, 304):
        headers = _with_length(headers, 0)
    return http1.encode_response(response.status, headers.block, http1.NO_BODY, keep, version)


def _with_length(headers: Headers, length: int) -> Headers:
    """`headers`, saying the body's true length: a policy may have changed the body and not what is said of it."""
    block = headers.block
    for line in (b"Content-Length: %d\r\n", b"content-length: %d\r\n"):
        at = block.find(line % length)  # as nearly every server writes it: saves a lower-cased copy of the block
        if at == 0 or (at > 0 and block[at - 1] == LINE_FEED):
            return headers
    if headers.get("content-length") != str(length):
        headers = headers.copy()
        headers.set("content-length", str(length))
    return headers


class _Lingered(Exception):
    """A client went on talking for too long after its last answer."""
