"""Very many clients that begin a request's head and never finish it: a byte a second each, as slowhttptest -H does it.

    slow_heads.py HOST [--connections 9000] [--rate 2000] [--most-seconds 60]

Opens so many a second, at most as fast as the other side accepts, and keeps on until each is ended from there. Prints
JSON: how each ended and after how long (counted from its first byte), and what the pod's own proxy said of itself
before, at most, and after: it is asked four times a second, and how long it takes to answer is counted, too. Standard
library only.
"""

from __future__ import annotations

import argparse
import json
import resource
import select
import socket
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import own_proxy  # type: ignore[import-not-found]  # beside us, in the pod

BEGINNING = b"GET / HTTP/1.1\r\nhost: bare\r\nx-slow: "
MORE = b"a"
EVERY = 1.0
CONNECTING = 256
"""Connections that are being opened at the same time."""


@dataclass
class Slow:
    """One of them."""

    sock: socket.socket
    since: float = 0.0  # of its first byte
    got: bytes = b""


@dataclass
class Watched:
    """What the proxy said of itself."""

    connections: float = 0.0
    resident: float = 0.0
    slowest: float = 0.0
    looks: int = 0
    failed: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Until `over`."""
        while not self.over.wait(0.25):
            began = time.monotonic()
            try:
                seen = own_proxy.look()
            except OSError:
                self.failed += 1
                continue
            self.looks += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.connections = max(self.connections, seen["connections_open_outbound"])
            self.resident = max(self.resident, seen["resident_bytes"])


class Crowd:
    """All of them."""

    def __init__(self, address: tuple[str, int], size: int, rate: float = 1e6) -> None:
        self.address, self.size, self.rate = address, size, rate
        self.began = time.monotonic()
        self.poll = select.epoll()
        self.open: dict[int, Slow] = {}
        self.connecting = self.begun = 0
        self.due: deque[tuple[float, Slow]] = deque()
        self.ends: Counter[str] = Counter()
        self.seconds: list[float] = []

    def connect(self) -> None:
        """As many as may be opened now."""
        due = min(self.size, 1 + (time.monotonic() - self.began) * self.rate)
        while self.begun < due and self.connecting < CONNECTING:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.connect_ex(self.address)
            self.open[sock.fileno()] = Slow(sock)
            self.poll.register(sock, select.EPOLLOUT)
            self.begun += 1
            self.connecting += 1

    def turn(self) -> None:
        """Whatever has happened, and the bytes that are due."""
        self.connect()
        for fd, event in self.poll.poll(0.02):
            slow = self.open[fd]
            if not slow.since:
                self.connecting -= 1
                slow.since = time.monotonic()
                if self.send(slow, BEGINNING):
                    self.poll.modify(fd, select.EPOLLIN)
                    self.due.append((slow.since + EVERY, slow))
            elif event:
                self.receive(slow)
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            due, slow = self.due.popleft()
            if slow.sock.fileno() >= 0 and self.send(slow, MORE):
                self.due.append((due + EVERY, slow))

    def send(self, slow: Slow, data: bytes) -> bool:
        """Whether it still goes."""
        try:
            slow.sock.send(data)
        except OSError as error:
            if slow.got:  # the answer is here, the end as well: it is read next
                return False
            self.end(slow, type(error).__name__)
            return False
        return True

    def receive(self, slow: Slow) -> None:
        """The answer, and the end."""
        try:
            data = slow.sock.recv(4096)
        except OSError as error:
            self.end(slow, type(error).__name__)
            return
        slow.got += data
        if not data:
            status = slow.got[9:12].decode("latin-1") if slow.got.startswith(b"HTTP/1.1 ") else ""
            self.end(slow, status or "closed without an answer")

    def end(self, slow: Slow, how: str) -> None:
        """It has been ended."""
        self.ends[how] += 1
        self.seconds.append(time.monotonic() - slow.since)
        del self.open[slow.sock.fileno()]
        slow.sock.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--most-seconds", type=float, default=60.0)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    address = (socket.gethostbyname(options.host), 80)
    resident = own_proxy.look()["resident_bytes"]
    crowd = Crowd(address, options.connections, options.rate)
    watched = Watched()
    watcher = threading.Thread(target=watched.watch)
    watcher.start()
    began, all_there = time.monotonic(), 0.0
    try:
        while (crowd.open or crowd.begun < crowd.size) and time.monotonic() < began + options.most_seconds:
            crowd.turn()
            if not all_there and crowd.begun == crowd.size and not crowd.connecting:
                all_there = time.monotonic() - began
    finally:
        watched.over.set()
        watcher.join()
    print(json.dumps({
        "connections": crowd.begun,
        "ends": dict(crowd.ends),
        "never_ended": len(crowd.open),
        "seconds_to_open": round(all_there, 2),
        "soonest_end": round(min(crowd.seconds, default=0.0), 2),
        "latest_end": round(max(crowd.seconds, default=0.0), 2),
        "resident_before": resident,
        "resident_most": watched.resident,
        "resident_after": own_proxy.look()["resident_bytes"],
        "open_most": watched.connections,
        "admin": {"looks": watched.looks, "failed": watched.failed, "slowest_seconds": round(watched.slowest, 3)},
    }), flush=True)


if __name__ == "__main__":
    main()
