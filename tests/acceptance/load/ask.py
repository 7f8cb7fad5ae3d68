"""Asks targets.py through the mesh, as fast as it goes or at a rate, and counts what comes back.

    ask.py URL [URL ...] [--requests 10000] [--connections 16] [--rounds 1] [--rate R --seconds S] [--keys]

In each round every URL gets so many requests, one URL after the other, and each round another one begins: what happens
to the machine meanwhile happens to all. A connection has one request under way at a time, and nothing is tried again.
`--rate`: so many a second for so many seconds instead, whatever the answers do. `--keys`: each request has an `x-key`
of its own, the same ones each time. Prints JSON, a report for each URL:

| field | |
|---|---|
| requests, seconds | made; from the first one to the last answer |
| statuses | "200", "503 fault" (with the proxy's reason), or an exception's name, and how many |
| served | target -> answers with 200 |
| failed_at | which of them, by the order of their answers and from 0, were answered with anything but 200 |
| p50, p99 | of each round, in seconds |
| keys | with --keys: key -> target |
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
import urllib.parse
from collections import Counter, deque

TIMEOUT = 20.0
TICK = 0.002


class Report:
    """Of one URL."""

    def __init__(self) -> None:
        self.requests = 0
        self.statuses: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.failed_at: list[int] = []
        self.p50: list[float] = []
        self.p99: list[float] = []
        self.seconds = 0.0
        self.keys: dict[str, str] = {}
        self.answers = 0
        self.latencies: list[float] = []

    def count(self, status: str, target: str, key: str, latency: float) -> None:
        """One answer."""
        self.statuses[status] += 1
        if status == "200":
            self.served[target] += 1
            if key:
                self.keys[key] = target
        else:
            self.failed_at.append(self.answers)
        self.answers += 1
        self.latencies.append(latency)

    def end_round(self, seconds: float) -> None:
        """Quantiles of what came since the last."""
        self.seconds += seconds
        found = sorted(self.latencies) or [0.0]
        self.p50.append(found[len(found) // 2])
        self.p99.append(found[min(len(found) - 1, len(found) * 99 // 100)])
        self.latencies = []

    def told(self) -> dict[str, object]:
        """For JSON."""
        names = ("requests", "seconds", "statuses", "served", "failed_at", "p50", "p99", "keys")
        return {name: getattr(self, name) for name in names}


class Asker:
    """One URL's connections, kept from round to round. `allowed` requests may still be begun."""

    def __init__(self, url: str, *, keys: bool) -> None:
        parts = urllib.parse.urlsplit(url)
        self.address = (socket.gethostbyname(parts.hostname or ""), parts.port or 80)
        head = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.hostname}\r\n"
        self.head, self.whole, self.with_keys = head.encode(), (head + "\r\n").encode(), keys
        self.report = Report()
        self.idle: deque[Connection] = deque()
        self.all: set[Connection] = set()
        self.allowed = self.under_way = self.made = 0
        self.over = asyncio.Event()
        self.again: asyncio.Future[None] | None = None

    async def connect(self, count: int) -> None:
        """So many more connections."""
        for _ in range(count):
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self.address)

    def next(self) -> tuple[bytes, str] | None:
        """The next request and its key; None when nothing may be asked now."""
        if not self.allowed:
            if not self.under_way:
                self.over.set()
            return None
        self.allowed -= 1
        self.under_way += 1
        self.report.requests += 1
        if not self.with_keys:
            return self.whole, ""
        self.made += 1
        return self.head + b"x-key: %d\r\n\r\n" % self.made, str(self.made)

    def allow(self, count: int) -> None:
        """Let idle connections begin."""
        self.allowed += count
        for _ in range(min(len(self.idle), self.allowed)):
            self.idle.popleft().go_on()

    async def round(self, count: int, connections: int) -> None:
        """So many requests, to their answers."""
        await self.connect(max(0, connections - len(self.all)))
        began = time.monotonic()
        self.over.clear()
        self.allow(count)
        await self.finish()
        self.report.end_round(time.monotonic() - began)

    async def at_rate(self, rate: float, seconds: float, connections: int) -> None:
        """So many a second for so long: what a busy machine made late is made up for at once."""
        await self.connect(connections)
        began, begun = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            due = int(now * rate) + 1
            self.allow(due - begun)
            begun = due
            await asyncio.sleep(TICK)
        took = time.monotonic() - began
        self.allowed = 0  # what has not begun by now is not begun any more
        self.over.clear()  # it was idle now and then
        await self.finish()
        self.report.end_round(took)

    async def finish(self) -> None:
        """Wait for what is under way; what has not come after TIMEOUT without any answer has failed."""
        while self.under_way and not self.over.is_set():
            before = self.report.answers
            try:
                await asyncio.wait_for(self.over.wait(), TIMEOUT)
            except TimeoutError:
                if self.report.answers == before:
                    for connection in list(self.all):
                        connection.give_up("timeout")


class Connection(asyncio.Protocol):
    """One request at a time."""

    transport: asyncio.Transport

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.buffer, self.key, self.since, self.busy = b"", "", 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.asker.all.add(self)
        self.go_on()

    def go_on(self) -> None:
        """The next request, if there is one."""
        found = self.asker.next()
        if found is None:
            self.asker.idle.append(self)
            return
        self.busy, self.key, self.since = True, found[1], time.monotonic()
        self.transport.write(found[0])

    def data_received(self, data: bytes) -> None:
        """Count an answer, once it is whole."""
        self.buffer = data = self.buffer + data if self.buffer else data
        at = data.find(b"\r\n\r\n") + 4
        if at < 4 or not self.busy:
            return
        head = data[:at].lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or b"0")
        if len(data) < at + length:
            return
        self.buffer = b""
        status = head[9:12].decode("latin-1")
        if reason := head.partition(b"\r\ntulle-reason:")[2].partition(b"\r\n")[0].strip().decode("latin-1"):
            status += f" {reason}"
        self.count(status, data[at : at + length].decode("latin-1"))
        if b"\r\nconnection: close" in head:
            self.transport.close()
        else:
            self.go_on()

    def count(self, status: str, target: str = "") -> None:
        """The request under way has ended."""
        self.busy = False
        self.asker.under_way -= 1
        self.asker.report.count(status, target, self.key, time.monotonic() - self.since)

    def give_up(self, why: str) -> None:
        """It takes too long."""
        if self.busy:
            self.count(why)
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Another one takes its place, while there is something to ask."""
        asker = self.asker
        asker.all.discard(self)
        if self in asker.idle:
            asker.idle.remove(self)
        if self.busy:
            self.count(type(error).__name__ if error else "closed")
        if asker.allowed:
            asker.again = asyncio.ensure_future(asker.connect(1))
        elif not asker.under_way:
            asker.over.set()


async def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--keys", action="store_true")
    options = parser.parse_args()
    askers = [Asker(url, keys=options.keys) for url in options.urls]
    if options.rate:
        for asker in askers:
            await asker.at_rate(options.rate, options.seconds, options.connections)
    else:
        for number in range(options.rounds):
            start = number % len(askers)
            for asker in [*askers[start:], *askers[:start]]:
                await asker.round(options.requests, options.connections)
    print(json.dumps([asker.report.told() for asker in askers]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
