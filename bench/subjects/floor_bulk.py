"""The floor for large bodies and bulk: the least that a Python process can spend on having the kernel move bytes
(splice(2)) from one socket to another. Not a proxy; a yardstick, as floor.py is for small messages.

One edge-triggered epoll set, and a pipe each way. Nothing is looked at, so that a POST's body and a relay's bytes are
the same. What a proxy costs above this is what it knows of messages.

    python -OO -S floor_bulk.py LISTEN_PORT UPSTREAM_IP UPSTREAM_PORT [LISTEN_PORT UPSTREAM_IP UPSTREAM_PORT]...
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import socket
import sys

EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
CAPACITY = 1 << 20
"""Bytes that a pipe holds."""


class Way:
    """From one socket to the other."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink, self.held = source, sink, 0
        self.outlet, self.inlet = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(self.inlet, fcntl.F_SETPIPE_SZ, CAPACITY)

    def move(self) -> bool:
        """What moves now; False once there is nothing more to come."""
        try:
            while True:
                while self.held:
                    self.held -= os.splice(self.outlet, self.sink.fileno(), self.held, flags=os.SPLICE_F_NONBLOCK)
                self.held = os.splice(self.source.fileno(), self.inlet, CAPACITY, flags=os.SPLICE_F_NONBLOCK)
                if not self.held:
                    return False
        except BlockingIOError:
            return True
        except OSError:
            return False  # reset, by a client that stops in the middle

    def close(self) -> None:
        """Once."""
        os.close(self.outlet)
        os.close(self.inlet)


def main() -> None:
    """For ever."""
    words = sys.argv[1:]
    epoll = select.epoll()
    listeners: dict[int, tuple[socket.socket, tuple[str, int]]] = {}
    for port, ip, target in zip(words[::3], words[1::3], words[2::3], strict=True):
        listener = socket.create_server(("127.0.0.1", int(port)), backlog=1024)
        listeners[listener.fileno()] = listener, (ip, int(target))
        epoll.register(listener, select.EPOLLIN)
    pairs: dict[int, tuple[Way, Way]] = {}
    gc.freeze()
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor in listeners:
                listener, upstream = listeners[descriptor]
                both = listener.accept()[0], socket.create_connection(upstream)
                ways = Way(*both), Way(*reversed(both))
                for sock in both:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.setblocking(False)
                    pairs[sock.fileno()] = ways
                    epoll.register(sock, EDGE)
            elif descriptor in pairs:  # else its other side has just ended, in the same batch
                ways = pairs[descriptor]
                if not (ways[0].move() and ways[1].move()):
                    for way in ways:
                        way.close()
                        del pairs[way.source.fileno()]
                        way.source.close()


if __name__ == "__main__":
    main()
