"""Opens more connections than a proxy may have, keeps them, and lets go when standard input ends.

    hold.py HOST [--connections 600]

Each asks for one answer of answers.py and then stays. Meanwhile the first of those that were answered goes on asking,
10 times a second, and the proxy is asked twice a second how it is. After letting go it counts the seconds until a new
connection is served. Prints JSON. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import resource
import selectors
import socket
import sys
import threading
import time
from collections import Counter

import own_proxy  # type: ignore[import-not-found]  # beside us, in the pod

REQUEST = b"GET /small HTTP/1.1\r\nhost: bare\r\n\r\n"
GO_ON_EVERY = 0.1
LOOK_EVERY = 5
"""Requests."""
TIMEOUT = 10.0


class Held:
    """All connections."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.ends: Counter[str] = Counter()
        self.silent: set[socket.socket] = set()
        self.answered: list[socket.socket] = []
        self.statuses: Counter[str] = Counter()

    def open(self, count: int) -> None:
        """So many more."""
        for _ in range(count):
            sock = socket.create_connection(self.address, timeout=TIMEOUT)  # the kernel accepts: its queue is long
            sock.sendall(REQUEST)
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.silent.add(sock)

    def listen(self, seconds: float) -> None:
        """Take what has come."""
        for key, _ in self.selector.select(seconds):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                data = sock.recv(65536)
            except OSError as error:
                self.end(sock, type(error).__name__)
                continue
            if not data:
                self.end(sock, "closed" if sock not in self.silent else "closed without an answer")
            elif sock in self.silent:
                self.silent.discard(sock)
                self.answered.append(sock)
                head = data.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
                why = head.partition("\r\ntulle-reason: ")[2].partition("\r\n")[0]
                self.statuses[f"{head[9:12]} {why}".strip()] += 1

    def end(self, sock: socket.socket, how: str) -> None:
        """The other side has ended it."""
        self.ends[how] += 1
        self.silent.discard(sock)
        self.selector.unregister(sock)
        sock.close()

    def go_on(self) -> str:
        """One more request over a connection that is open; what went wrong, or ""."""
        sock = next((each for each in self.answered if each.fileno() >= 0), None)
        if sock is None:
            return "no connection was ever answered"
        sock.settimeout(TIMEOUT)
        try:
            sock.sendall(REQUEST)
            answer = sock.recv(65536)
        except OSError as error:
            return type(error).__name__
        finally:
            sock.setblocking(False)
        return "" if answer.startswith(b"HTTP/1.1 200 ") else answer[:12].decode("latin-1")

    def let_go(self) -> None:
        """Close all."""
        for key in list(self.selector.get_map().values()):
            self.selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


def served_after(host: str) -> tuple[float, int]:
    """Seconds until a new connection is answered with 200, and the tries that it took."""
    began, tries = time.monotonic(), 0
    while True:
        tries += 1
        client = http.client.HTTPConnection(host, 80, timeout=TIMEOUT)
        with contextlib.suppress(OSError, http.client.HTTPException):
            client.request("GET", "/small")
            if client.getresponse().status == 200:
                client.close()
                return time.monotonic() - began, tries
        client.close()
        if time.monotonic() - began > 30:
            return float("inf"), tries
        time.sleep(0.05)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--connections", type=int, default=600)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    served_after(options.host)  # what is made once is made now
    before = own_proxy.settled()
    enough = threading.Event()

    def wait_for_enough() -> None:
        sys.stdin.read()
        enough.set()

    threading.Thread(target=wait_for_enough, daemon=True).start()
    held = Held((socket.gethostbyname(options.host), 80))
    held.open(options.connections)
    went_on, went_wrong, due = 0, Counter[str](), time.monotonic() + 1.0
    looks: list[float] = []
    descriptors = 0.0
    while not enough.is_set():
        held.listen(max(0.0, min(GO_ON_EVERY, due - time.monotonic())))
        if time.monotonic() >= due:
            due += GO_ON_EVERY
            went_on += 1
            if why := held.go_on():
                went_wrong[why] += 1
            if went_on % LOOK_EVERY == 0:
                began = time.monotonic()
                descriptors = max(descriptors, own_proxy.look()["open_descriptors"])
                looks.append(time.monotonic() - began)
    waiting = len(held.silent)
    held.let_go()
    seconds, tries = served_after(options.host)
    print(json.dumps({
        "connections": options.connections,
        "statuses": dict(held.statuses),
        "waiting": waiting,
        "ends": dict(held.ends),
        "went_on": went_on,
        "went_wrong": dict(went_wrong),
        "descriptors": descriptors,
        "looks": len(looks),
        "slowest_look_seconds": round(max(looks, default=0.0), 3),
        "recovered_seconds": round(seconds, 3),
        "recovered_tries": tries,
        "before": before,
        "after": own_proxy.settled(before),
    }), flush=True)


if __name__ == "__main__":
    main()
