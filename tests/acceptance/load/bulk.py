"""Many bytes one way, then as many back, over one TCP connection that is closed by halves. Prints JSON.

    bulk.py serve PORT                                  the other end, a pod of its own
    bulk.py HOST PORT [--bytes 67108864] [--stall 1.0]  the client

The client says "BYTES STALL", sends BYTES and ends its side only (shutdown). The server stalls before it reads, so that
whoever is in between must hold back rather than hold; when it has seen the end of file it answers with the SHA-256 of
what came, and then sends BYTES of its own. The client stalls, too, and hashes those.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import socket
import socketserver
import time
from collections.abc import Iterator

PIECE = 1 << 18
LONGEST = 64


def content(size: int, seed: str) -> Iterator[bytes]:
    """`size` bytes that depend on `seed` only, and never repeat: what is lost or swapped changes the hash."""
    source = random.Random(seed)
    while size > 0:
        piece = source.randbytes(min(PIECE, size))
        yield piece
        size -= len(piece)


def digest(size: int, seed: str) -> str:
    """The SHA-256 of `content`."""
    sha = hashlib.sha256()
    for piece in content(size, seed):
        sha.update(piece)
    return sha.hexdigest()


class Handler(socketserver.StreamRequestHandler):
    """One connection of the server."""

    def handle(self) -> None:
        """Read to the end, then answer."""
        size, stall = self.rfile.readline(LONGEST).split()
        time.sleep(min(float(stall), 10.0))
        sha, received = hashlib.sha256(), 0
        while piece := self.rfile.read1(PIECE):
            sha.update(piece)
            received += len(piece)
        self.wfile.write(f"{sha.hexdigest()} {received}\n".encode())
        for piece in content(int(size), "down"):
            self.wfile.write(piece)


class Server(socketserver.ThreadingTCPServer):
    """Both families."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


def ask(host: str, port: int, size: int, stall: float) -> dict[str, object]:
    """One exchange, as the client."""
    expected_up, expected_down = digest(size, "up"), digest(size, "down")
    began = time.monotonic()
    with socket.create_connection((host, port), timeout=60) as sock:
        sock.sendall(f"{size} {stall}\n".encode())
        for piece in content(size, "up"):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        uploaded = time.monotonic()
        with sock.makefile("rb") as answer:
            heard, received = answer.readline(200).split() or (b"", b"0")
            time.sleep(stall)
            sha, down = hashlib.sha256(), 0
            while piece := answer.read(PIECE):
                sha.update(piece)
                down += len(piece)
    return {
        "up_bytes": int(received),
        "up_equal": heard.decode() == expected_up,
        "down_bytes": down,
        "down_equal": sha.hexdigest() == expected_down,
        "up_seconds": round(uploaded - began, 2),
        "seconds": round(time.monotonic() - began, 2),
    }


def main() -> None:
    """Serve, or ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", help="a host, or the word serve")
    parser.add_argument("port", type=int)
    parser.add_argument("--bytes", type=int, default=64 << 20)
    parser.add_argument("--stall", type=float, default=1.0)
    options = parser.parse_args()
    if options.host == "serve":
        with Server(("::", options.port), Handler) as server:
            server.serve_forever()
    print(json.dumps(ask(options.host, options.port, options.bytes, options.stall)))


if __name__ == "__main__":
    main()
