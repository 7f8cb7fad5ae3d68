"""The floor: the least that a Python process can spend on being in the middle. Not a proxy; a yardstick.

One edge-triggered epoll set, and for each request two receives and two sends of whole messages, without looking at
them: no parsing, no routing, no telemetry, no limits. What a proxy in Python costs above this is what its
features cost; what this costs above nginx is what Python costs.

    python -OO -S floor.py LISTEN_PORT UPSTREAM_IP UPSTREAM_PORT
"""

from __future__ import annotations

import gc
import select
import socket
import sys

EDGE = select.EPOLLIN | select.EPOLLET


def main() -> None:
    """For ever."""
    port, upstream = int(sys.argv[1]), (sys.argv[2], int(sys.argv[3]))
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    accepting = listener.fileno()
    # descriptor -> (how to receive from it, how to send to its other side, both sockets)
    pairs: dict[int, tuple[object, object, tuple[socket.socket, socket.socket]]] = {}
    gc.freeze()
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == accepting:
                client = listener.accept()[0]
                server = socket.create_connection(upstream)
                for this, other in ((client, server), (server, client)):
                    this.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    this.setblocking(False)
                    pairs[this.fileno()] = (this.recv, other.send, (this, other))
                    epoll.register(this, EDGE)
                continue
            if descriptor not in pairs:
                continue  # its other side has just ended, in the same batch
            receive, send, both = pairs[descriptor]
            try:
                data = receive(65536)  # type: ignore[operator]
                if data:
                    send(data)  # type: ignore[operator]
            except OSError:
                data = b""  # reset, by a client that stops in the middle
            if not data:
                for sock in both:
                    del pairs[sock.fileno()]
                    sock.close()


if __name__ == "__main__":
    main()
