"""Connections that were used once and are then kept. Prints a line of JSON for each number of them that is reached.

    idle.py IP PORT 1000 10000

After each line it waits for a line on standard input (the memory is read meanwhile), and goes on to the next number.
At the end, some of all connections are used again: a proxy that dropped them would have been measured without them.
Standard library only.
"""

from __future__ import annotations

import json
import socket
import sys

from bench.load.openloop import connect, whole

REQUEST = b"GET / HTTP/1.1\r\nHost: app\r\nUser-Agent: tulle-bench\r\nAccept: */*\r\n\r\n"
SAMPLE = 100


def use(sock: socket.socket) -> None:
    """One request. Raises OSError or ValueError."""
    sock.sendall(REQUEST)
    data = b""
    while not whole(data):
        more = sock.recv(65536)
        if not more:
            raise ValueError("the connection was closed")
        data += more


def main() -> None:
    """Open, say, wait; then check."""
    ip, port, counts = sys.argv[1], int(sys.argv[2]), [int(word) for word in sys.argv[3:]]
    socks: list[socket.socket] = []
    try:
        for count in counts:
            while len(socks) < count:
                sock = connect(ip, port)
                use(sock)
                socks.append(sock)
            print(json.dumps({"open": len(socks)}), flush=True)
            if not sys.stdin.readline():
                return
        for sock in socks[:: max(1, len(socks) // SAMPLE)]:
            use(sock)
        print(json.dumps({"alive": True}), flush=True)
    except (OSError, ValueError) as error:
        print(json.dumps({"open": len(socks), "example": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main()
