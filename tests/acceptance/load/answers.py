"""An HTTP/1.1 server whose every answer is known beforehand, and quick: what a proxy changes on the way is seen.

    answers.py PORT

| path | answer |
|---|---|
| /small, /ten | 100 bytes; 10,000 |
| /pieces | 300 bytes in three chunks |
| /missing | 404 |
| /echo | the request's body, of either framing |
| /bytes?size=N&framing=length or chunked | N bytes, never more of them in hand than the reader takes |
| /cut?framing=F&how=H | F: length, chunked, close. Half of a body; then, by H, a reset, or an end that looks orderly,
  or (whole) the other half |

Keeps connections, and takes one request after the other on each. It is strict about nothing: that is the proxy's part.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import urllib.parse

SMALL, TEN, PIECES = b"s" * 100, b"t" * 10_000, b"p" * 300
HALF = b"h" * 50_000
STREAMED = b"b" * 65_536
END_OF_CHUNKS = b"0\r\n\r\n"


def whole(status: str, body: bytes, *, head: bool = False) -> bytes:
    """An answer whose length is said."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + (b"" if head else body)


def chunk(data: bytes) -> bytes:
    """RFC 9112 section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def dechunked(data: bytes) -> bytes:
    """The content of a whole chunked body."""
    found = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            return found
        found, data = found + data[:length], data[length + 2 :]


READY = {
    b"/small": whole("200 OK", SMALL),
    b"/ten": whole("200 OK", TEN),
    b"/missing": whole("404 Not Found", b"missing"),
    b"/pieces": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(PIECES[:100]) * 3 + END_OF_CHUNKS,
}


class Connection(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = b""
        self.busy: asyncio.Task[None] | None = None
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        if self.busy is not None:
            self.busy.cancel()

    def pause_writing(self) -> None:
        """See asyncio."""
        self.room.clear()

    def resume_writing(self) -> None:
        """See asyncio."""
        self.room.set()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self.buffer += data
        while self.busy is None and (at := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:at]
            method, target, _ = head.split(b" ", 2)
            body = b""
            end = at + 4
            if method == b"POST":
                lines = head.lower()
                if b"\r\ntransfer-encoding: chunked" in lines:
                    last = self.buffer.find(END_OF_CHUNKS, end)  # no body of the figures has this in its middle
                    if last < 0:
                        return
                    body, end = dechunked(self.buffer[end:]), last + len(END_OF_CHUNKS)
                else:
                    length = int(lines.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or b"0")
                    if len(self.buffer) < end + length:
                        return
                    body, end = self.buffer[end : end + length], end + length
            self.buffer = self.buffer[end:]
            self.answer(method, target, body)

    def answer(self, method: bytes, target: bytes, body: bytes) -> None:
        """One request."""
        if (ready := READY.get(target)) is not None and method != b"HEAD":
            self.transport.write(ready)
            return
        url = urllib.parse.urlsplit(target.decode())
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/echo":
            self.transport.write(whole("200 OK", body))
        elif url.path == "/bytes":
            self.busy = asyncio.create_task(self.stream(int(query["size"]), query["framing"]))
        elif url.path == "/cut":
            self.cut(query["framing"], query["how"])
        else:
            self.transport.write(whole("200 OK", SMALL, head=method == b"HEAD"))

    async def stream(self, size: int, framing: str) -> None:
        """A long answer."""
        said = f"content-length: {size}" if framing == "length" else "transfer-encoding: chunked"
        self.transport.write(f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode())
        while size > 0:
            piece = STREAMED[:size]
            self.transport.write(piece if framing == "length" else chunk(piece))
            size -= len(piece)
            await self.room.wait()
        if framing == "chunked":
            self.transport.write(END_OF_CHUNKS)
        self.busy = None
        self.data_received(b"")

    def cut(self, framing: str, how: str) -> None:
        """An answer that breaks off in the middle."""
        said, first, last = {
            "length": (f"content-length: {2 * len(HALF)}", HALF, HALF),
            "chunked": ("transfer-encoding: chunked", chunk(HALF), chunk(HALF) + END_OF_CHUNKS),
            "close": ("connection: close", HALF, HALF),
        }[framing]
        self.transport.write(f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode() + first)
        if how == "whole":
            self.transport.write(last)
            if framing == "close":
                self.transport.close()
        elif how == "end":
            self.transport.close()
        else:
            # a reset overtakes what is still in the kernel's buffers: that is for the reader to have taken first
            asyncio.get_running_loop().call_later(0.1, self.reset)

    def reset(self) -> None:
        """Close with RST (RFC 9293 section 3.10.4)."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


async def serve(port: int) -> None:
    """Until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "::", port, backlog=4096)
    dual = await loop.create_server(Connection, "0.0.0.0", port, backlog=4096)
    async with server, dual:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
