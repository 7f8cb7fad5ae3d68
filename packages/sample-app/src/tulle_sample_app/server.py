"""Connections in, requests to a handler, answers out; and a graceful end. Knows HTTP, but no paths or knobs.

A connection is one task. `Server.drain` ends them: those that wait for a request are closed, those that answer
one say `Connection: close` and end after it, and what is left at the deadline is cancelled.
"""

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tulle_sample_app.http1 import (
    CHUNKED,
    MAX_HEAD_BYTES,
    PIECE_BYTES,
    Framing,
    Headers,
    HttpError,
    Request,
    framing,
    read_body,
    read_request,
    render_head,
    status_line,
)
from tulle_sample_app.log import log

IDLE_SECONDS = 120.0  # longer than clients keep a connection, so that they close it and not we
LINGER_SECONDS = 1.0
BACKLOG = 1024  # connections that wait to be accepted
MAX_UNREAD_BYTES = 1024 * 1024
CHUNK_BYTES = 16 * 1024


@dataclass
class Response:
    """An answer; `chunked` sends the body in chunks of unannounced length."""

    status: int
    body: bytes = b""
    fields: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False


def as_json(status: int, value: object, *, pad_to: int = 0, chunked: bool = False) -> Response:
    """Make a JSON answer, padded with spaces to `pad_to` bytes; a reader of JSON does not mind."""
    body = json.dumps(value).encode().ljust(pad_to - 1) + b"\n"
    return Response(status, body, [("Content-Type", "application/json")], chunked)


class Connection:
    """One client's connection, and what a handler may ask of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        host, port = writer.get_extra_info("peername")[:2]
        host = host.removeprefix("::ffff:")
        self.source = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.requests = 0
        self.busy = False
        self._unread: Framing = 0
        self._expects_continue = False

    async def next_request(self) -> Request | None:
        """Wait for a request; None when the client is done or was idle for too long."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                request = await read_request(self._reader)
        except TimeoutError:
            return None
        if request is not None:
            self.busy = True
            self.requests += 1
            self._unread = framing(request.headers)
            self._expects_continue = "100-continue" in request.headers.options("expect")
        return request

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the request's body in pieces, asking for it first if the client waits (RFC 9110 10.1.1)."""
        how, self._unread = self._unread, 0
        if self._expects_continue and how:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for piece in read_body(self._reader, how):
            yield piece

    async def answer(self, request: Request, response: Response, *, keep: bool) -> bool:
        """Send a response and return whether the connection goes on.

        What the handler left of the request's body is read away first; if that is too much, the connection ends.
        """
        if self._unread:
            if isinstance(self._unread, int) and self._unread <= MAX_UNREAD_BYTES and not self._expects_continue:
                async for _ in self.body():
                    pass
            else:
                keep = False
        chunked = response.chunked and request.version == "HTTP/1.1"
        fields = [*response.fields,
                  ("Transfer-Encoding", CHUNKED) if chunked else ("Content-Length", str(len(response.body)))]
        if not keep:
            fields.append(("Connection", "close"))
        elif request.version == "HTTP/1.0":
            fields.append(("Connection", "keep-alive"))
        head = render_head(status_line(response.status), fields)
        if request.method == "HEAD":
            self._writer.write(head)
        elif chunked:
            self._writer.write(head)
            for start in range(0, len(response.body), CHUNK_BYTES):
                piece = response.body[start:start + CHUNK_BYTES]
                self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await self._writer.drain()
            self._writer.write(b"0\r\n\r\n")
        else:
            self._writer.write(head + response.body)
        await self._writer.drain()
        self.busy = False
        return keep

    async def refuse(self, error: HttpError) -> None:
        """Answer what is not a request; nothing that follows on this connection can be understood."""
        self._unread = 0
        await self.answer(Request("?", "?", "HTTP/1.1", Headers()), as_json(error.status, {"error": str(error)}),
                          keep=False)

    async def linger(self) -> None:
        """Let the client read our last answer: closing over unread bytes would reset it away (RFC 9112 9.6)."""
        self._writer.write_eof()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._reader.read(PIECE_BYTES):
                    pass

    def close(self) -> None:
        """Close at once. Safe to repeat."""
        self._writer.close()


Handler = Callable[[Request, Connection], Awaitable[Response]]


class Server:
    """Owns the listening socket and every connection's task, until `drain` has ended them all."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._listener: asyncio.Server | None = None
        self.closing = False

    async def start(self, port: int) -> int:
        """Listen on all addresses, IPv4 and IPv6; return the port (0 asks for a free one). Raises OSError."""
        self._listener = await asyncio.start_server(self._accepted, sock=_listening_socket(port), limit=MAX_HEAD_BYTES,
                                                    backlog=BACKLOG)
        address: tuple[str, int] = self._listener.sockets[0].getsockname()
        return address[1]

    async def drain(self, lame_duck: float, deadline: float) -> None:
        """End: for `lame_duck` seconds serve as ever but with `Connection: close`, then accept no more.

        Clients and proxies that have not heard yet still reach us meanwhile. Requests in flight have `deadline`
        seconds; connections that are left then are cancelled.
        """
        self.closing = True
        await asyncio.sleep(lame_duck)
        if self._listener is not None:
            self._listener.close()
        for connection in self._connections.values():
            if not connection.busy:
                connection.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=deadline)
            for task in late:
                task.cancel()
            if late:
                log("warning", f"{len(late)} requests were cut off: they took longer than {deadline:g} s to finish")
                await asyncio.wait(late)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(reader, writer)
        self._connections[task] = connection
        try:
            await self._serve(connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            del self._connections[task]
            connection.close()

    async def _serve(self, connection: Connection) -> None:
        keep = True
        while keep:
            try:
                request = await connection.next_request()
                if request is None:
                    return
                response = await self._handle(request, connection)
                keep = await connection.answer(request, response, keep=request.keeps_alive and not self.closing)
            except HttpError as error:
                await connection.refuse(error)
                keep = False
        await connection.linger()

    async def _handle(self, request: Request, connection: Connection) -> Response:
        try:
            return await self._handler(request, connection)
        except (HttpError, ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception as error:  # one bad request is no reason to stop serving the others
            log("error", f"{request.method} {request.target} failed: {type(error).__name__}: {error}")
            return as_json(500, {"error": f"the app has a bug: {type(error).__name__}"})


def _listening_socket(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
    return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)
