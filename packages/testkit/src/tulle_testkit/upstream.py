"""Servers for tests, on loopback ports that the system chooses: they record what reached them.

Own their listener and connections; leaving the block, or its cancellation, closes them all. HTTP/1.1 is read by h11,
so that what a test sees of the proxy's requests was judged by someone else's parser.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11
import trio

_READ = 65536


@dataclass
class EchoUpstream:
    """Sends back what it receives, and the end when it sees the end. `received`: bytes of each connection, in order."""

    port: int
    received: list[bytearray] = field(default_factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        mine = bytearray()
        self.received.append(mine)
        try:
            while data := await stream.receive_some(_READ):
                mine += data
                await stream.send_all(data)
            await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away; what it sent is on record


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as h11 understood it. `connection`: which connection it came on, from 0."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for known, value in self.headers if known == name.lower()]


@dataclass(frozen=True)
class Answer:
    """What to answer. `body` in several pieces is sent chunked; `close` ends the connection after it."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | tuple[bytes, ...] = b"ok"
    close: bool = False


@dataclass
class HttpUpstream:
    """Answers every request with `answer(request)`, which may be replaced, and keeps them all in `requests`."""

    port: int
    answer: Callable[[ReceivedRequest], Answer]
    requests: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, until either side closes it. A request that is no HTTP is answered 400."""
        number, self.connections = self.connections, self.connections + 1
        connection = h11.Connection(h11.SERVER)
        try:
            while (request := await _request(connection, stream, number)) is not None:
                self.requests.append(request)
                await _send(connection, stream, self.answer(request))
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await stream.send_all(f"HTTP/1.1 400 {error}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away; what it sent is on record


async def _request(connection: h11.Connection, stream: trio.SocketStream, number: int) -> ReceivedRequest | None:
    head, body = None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(await stream.receive_some(_READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
            return ReceivedRequest(head.method.decode(), head.target.decode(), headers, bytes(body), number)
        else:  # closed, or paused
            return None


async def _send(connection: h11.Connection, stream: trio.SocketStream, answer: Answer) -> None:
    headers = list(answer.headers)
    pieces = (answer.body,) if isinstance(answer.body, bytes) else answer.body
    if isinstance(answer.body, bytes):
        headers.append(("content-length", str(len(answer.body))))
    if answer.close:
        headers.append(("connection", "close"))
    await stream.send_all(connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
    for piece in pieces:
        await stream.send_all(connection.send(h11.Data(data=piece)) or b"")
    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")


@asynccontextmanager
async def echo_upstream() -> AsyncIterator[EchoUpstream]:
    """An echo server on a free loopback port."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    upstream = EchoUpstream(listener.socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, upstream.serve, [listener])
        yield upstream
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def http_upstream(answer: Callable[[ReceivedRequest], Answer] | None = None) -> AsyncIterator[HttpUpstream]:
    """An HTTP/1.1 server on a free loopback port; without `answer` it says 200 "ok"."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    upstream = HttpUpstream(listener.socket.getsockname()[1], answer or (lambda request: Answer()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, upstream.serve, [listener])
        yield upstream
        nursery.cancel_scope.cancel()
