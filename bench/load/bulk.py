"""Big bodies over kept connections, as fast as they go. Prints JSON: operations, bytes, seconds, errors.

    bulk.py get|post|raw IP PORT --seconds 2 --connections 2 --size 1048576 [--path /1m]

Every operation that was begun is finished, so that bytes and the proxy's CPU time belong together. What is received
is counted, not copied (backend.py). Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import threading
import time

from bench.load.backend import PIECE, content_length, drop, read_head

TIMEOUT = struct.pack("ll", 30, 0)
"""struct timeval: for the kernel to keep, since Python's own timeouts cost a poll(2) for each call."""


class Client:
    """One connection."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.operations = 0
        self.error = ""
        self.scratch = bytearray(PIECE)
        self.memory = os.memfd_create("body")
        os.ftruncate(self.memory, options.size)
        self.sock = socket.create_connection((options.ip, options.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, TIMEOUT)

    def run(self, until: float) -> None:
        """Operations, one after the other, until then."""
        try:
            while not self.operations or time.monotonic() < until:
                getattr(self, self.options.mode)()
                self.operations += 1
        except (OSError, ValueError) as error:
            self.error = f"{type(error).__name__}: {error}"

    def get(self) -> None:
        """GET a body of the size that was said."""
        self.sock.sendall(f"GET {self.options.path} HTTP/1.1\r\nHost: app\r\nAccept: */*\r\n\r\n".encode())
        self.answer(self.options.size)

    def post(self) -> None:
        """POST one."""
        size = self.options.size
        self.sock.sendall(f"POST / HTTP/1.1\r\nHost: sink\r\nContent-Length: {size}\r\n\r\n".encode())
        sent = 0
        while sent < size:
            sent += os.sendfile(self.sock.fileno(), self.memory, sent, size - sent)
        self.answer(3)

    def answer(self, size: int) -> None:
        """A whole answer of 200 with a body of that size, or ValueError."""
        head, rest = read_head(self.sock)
        if not head.startswith(b"HTTP/1.1 200 ") or content_length(head) != size:
            raise ValueError(f"answered {head[:200]!r}")
        if drop(self.sock, size - len(rest), self.scratch) != size - len(rest):
            raise ValueError("answer cut short")

    def raw(self) -> None:
        """Bytes of no protocol."""
        size = self.options.size
        self.sock.sendall(struct.pack("!Q", size))
        if drop(self.sock, size, self.scratch) != size:
            raise ValueError("cut short")


def main() -> None:
    """All connections at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("get", "post", "raw"))
    parser.add_argument("ip")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--size", type=int, default=PIECE)
    parser.add_argument("--path", default="/1m")
    options = parser.parse_args()
    clients = [Client(options) for _ in range(options.connections)]
    began = time.monotonic()
    threads = [threading.Thread(target=client.run, args=(began + options.seconds,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    operations = sum(client.operations for client in clients)
    errors = [client.error for client in clients if client.error]
    print(json.dumps({
        "operations": operations, "bytes": operations * options.size, "seconds": time.monotonic() - began,
        "errors": len(errors), "example": errors[0] if errors else "",
    }))


if __name__ == "__main__":
    main()
