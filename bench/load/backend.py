"""The backend that nginx is not: a sink for POST bodies, a source of opaque bytes, an echo. Standard library only.

    backend.py SINK_PORT BULK_PORT ECHO_PORT

A thread a connection, and no byte copied that need not be: what is received is dropped in the kernel (MSG_TRUNC,
tcp(7)), what is sent comes from a memfd. So the backend's core is not what a bulk row measures.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable

PIECE = 1 << 20


def drop(sock: socket.socket, count: int, scratch: bytearray) -> int:
    """Receive `count` bytes and look at none. How many there were: fewer when the peer has ended."""
    left = count
    while left:
        got = sock.recv_into(scratch, min(left, PIECE), socket.MSG_TRUNC)
        if not got:
            break
        left -= got
    return count - left


def read_head(sock: socket.socket, rest: bytes = b"") -> tuple[bytes, bytes]:
    """(head, what came after it) of an HTTP/1.1 message; (b"", b"") when the peer has ended."""
    data = rest
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, after = data.partition(b"\r\n\r\n")
    return head, after


def content_length(head: bytes) -> int:
    """The field's value. Raises ValueError when there is none: then nothing here could tell the body's end."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError(f"no content-length in {head[:200]!r}")


def sink(sock: socket.socket) -> None:
    """Requests with bodies, one after the other."""
    scratch, rest = bytearray(PIECE), b""
    while True:
        head, rest = read_head(sock, rest)
        if not head:
            return
        length = content_length(head) if head.startswith(b"POST ") else 0
        early = min(length, len(rest))
        if drop(sock, length - early, scratch) < length - early:
            return
        rest = rest[early:]
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")


def bulk(sock: socket.socket) -> None:
    """As many bytes as the client asks for, each time it asks."""
    memory = os.memfd_create("bulk")
    try:
        os.ftruncate(memory, PIECE)
        while len(asked := sock.recv(8, socket.MSG_WAITALL)) == 8:
            left = struct.unpack("!Q", asked)[0]
            while left:
                left -= os.sendfile(sock.fileno(), memory, 0, min(left, PIECE))
    finally:
        os.close(memory)


def echo(sock: socket.socket) -> None:
    """What comes, goes back."""
    while data := sock.recv(65536):
        sock.sendall(data)


def serve(port: int, handler: Callable[[socket.socket], None]) -> None:
    """Accept for ever."""
    listener = socket.create_server(("0.0.0.0", port), backlog=1024)

    def handle(sock: socket.socket) -> None:
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                handler(sock)
            except OSError:
                return  # the client has gone

    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=handle, args=(accepted,), daemon=True).start()


def main() -> None:
    """All three."""
    threading.stack_size(256 << 10)
    ports = [int(word) for word in sys.argv[1:4]]
    for port, handler in zip(ports[1:], (bulk, echo), strict=True):
        threading.Thread(target=serve, args=(port, handler), daemon=True).start()
    serve(ports[0], sink)


if __name__ == "__main__":
    main()
