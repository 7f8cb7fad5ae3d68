"""Very many requests of every kind to answers.py, as fast as they go, each answer compared with what it must be.

    many.py HOST [--requests 60000] [--connections 16] [--most-seconds 900]

Every connection has one request under way. Nothing is tried again: a wrong status or body, a reset, a timeout each are
one failed request. One in 500 says that it is its connection's last; one in 1,000 is given up by the client in the
middle, on purpose, and counts as given up. Prints JSON, with what the pod's own proxy holds before and after (after a
warm-up of 3,000 requests), and samples of its resident memory by requests made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter

import own_proxy  # type: ignore[import-not-found]  # beside us, in the pod
from answers import (  # type: ignore[import-not-found]
    END_OF_CHUNKS,
    PIECES,
    SMALL,
    TEN,
    chunk,
    dechunked,
)

TIMEOUT = 10.0
WARM_UP = 3000
SAMPLES = 200
LAST_EVERY, GIVEN_UP_EVERY = 500, 1000
NOTHING = b""
HOST = b" HTTP/1.1\r\nhost: bare\r\n"
POSTED = b"e" * 1000

# request, and the status and body that must come back
SMALL_GET = (b"GET /small" + HOST + b"\r\n", 200, SMALL)
LAST_GET = (b"GET /small" + HOST + b"connection: close\r\n\r\n", 200, SMALL)
GIVEN_UP = (b"GET /ten" + HOST + b"\r\n", 200, TEN)
KINDS = {
    # which of each 50 requests; the others are small
    7: (b"POST /echo" + HOST + b"content-length: %d\r\n\r\n" % len(POSTED) + POSTED, 200, POSTED),
    15: (b"POST /echo" + HOST + b"transfer-encoding: chunked\r\n\r\n" + chunk(POSTED) + END_OF_CHUNKS, 200, POSTED),
    23: (b"GET /ten" + HOST + b"\r\n", 200, TEN),
    31: (b"GET /pieces" + HOST + b"\r\n", 200, PIECES),
    39: (b"GET /missing" + HOST + b"\r\n", 404, b"missing"),
    47: (b"HEAD /small" + HOST + b"\r\n", 200, NOTHING),
}


class Load:
    """What all connections have in common."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.made = self.given_up = self.open = 0
        self.failures: Counter[str] = Counter()
        self.over = asyncio.Event()
        self.address: tuple[str, int] = ("", 80)
        self.tasks: set[asyncio.Task[None]] = set()

    def fail(self, why: str) -> None:
        """One request has failed."""
        self.failures[why] += 1

    async def connect(self) -> None:
        """One more connection."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self.address)
        except OSError as error:
            self.made += 1
            self.fail(f"connect: {type(error).__name__}")
            self.again()

    def again(self) -> None:
        """A connection has ended: open the next, if there is something left to ask."""
        if self.made < self.requests:
            task = asyncio.create_task(self.connect())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif not self.open:
            self.over.set()


class Connection(asyncio.Protocol):
    """One connection: asks, compares, asks again."""

    transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.asked: tuple[bytes, int, bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.load.open += 1
        self.ask()

    def ask(self) -> None:
        """The next request, or the end."""
        load = self.load
        if load.made >= load.requests:
            self.asked = None
            self.transport.close()
            return
        load.made += 1
        number = load.made
        self.since = time.monotonic()
        if number % GIVEN_UP_EVERY == 0:
            load.given_up += 1
            self.transport.write(GIVEN_UP[0])
            self.asked = None
            asyncio.get_running_loop().call_later(0.002, self.transport.abort)
            return
        self.asked = LAST_GET if number % LAST_EVERY == 1 else KINDS.get(number % 50, SMALL_GET)
        self.transport.write(self.asked[0])

    def data_received(self, data: bytes) -> None:
        """Compare, once it is whole."""
        if self.asked is None:
            return None
        self.buffer = data = self.buffer + data if self.buffer else data
        at = data.find(b"\r\n\r\n") + 4
        if at < 4:
            return None
        request, status, body = self.asked
        if data[9:12] != b"%d" % status:
            return self.wrong(f"status {data[9:12].decode('latin-1')}")
        got = data[at:]
        if body is PIECES:
            if not got.endswith(END_OF_CHUNKS):
                return None
            got = dechunked(got)
        elif len(got) < len(body):
            return None
        if got != body:
            return self.wrong("another body")
        self.buffer = b""
        if request is LAST_GET[0]:
            self.asked = None  # the proxy closes; so do we, whoever is first
            self.transport.close()
        else:
            self.ask()
        return None

    def wrong(self, why: str) -> None:
        """This request has failed, and its connection cannot be used any more."""
        self.load.fail(why)
        self.asked = None
        self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        self.load.open -= 1
        if self.asked is not None:
            self.load.fail(type(error).__name__ if error else "closed without a whole answer")
        self.load.again()


async def run(address: tuple[str, int], requests: int, connections: int, seconds: float, samples: list[list[float]]
              ) -> Load:
    """Make them, and look at the proxy's memory while they are made."""
    load = Load(requests)
    load.address = address
    for _ in range(connections):
        await load.connect()
    moved = time.monotonic()
    until, next_sample = moved + seconds, 0.0
    while not load.over.is_set() and time.monotonic() < until:
        at, progress = time.monotonic(), load.made
        if load.made >= next_sample:
            samples.append([load.made, (await asyncio.to_thread(own_proxy.look))["resident_bytes"]])
            next_sample += requests / SAMPLES
        try:
            async with asyncio.timeout(max(0.02, at + 0.05 - time.monotonic())):
                await load.over.wait()
        except TimeoutError:
            pass
        if load.made > progress:
            moved = at
        elif at - moved > TIMEOUT:  # nothing whatever has come for so long
            break
    if not load.over.is_set():
        load.failures[f"no answer within {TIMEOUT:g} s, or not over in time"] += max(1, load.open)
    return load


async def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--most-seconds", type=float, default=900.0)
    options = parser.parse_args()
    found = await asyncio.get_running_loop().getaddrinfo(options.host, 80, family=2)
    address = (str(found[0][4][0]), 80)
    samples: list[list[float]] = []
    warm = await run(address, min(WARM_UP, options.requests), options.connections, options.most_seconds, [])
    before = await asyncio.to_thread(own_proxy.settled)
    began = time.monotonic()
    load = await run(address, options.requests, options.connections, options.most_seconds, samples)
    seconds = time.monotonic() - began
    after = await asyncio.to_thread(own_proxy.settled, before)
    failures = warm.failures + load.failures
    print(json.dumps({
        "requests": load.made,
        "given_up": load.given_up,
        "failed": sum(failures.values()),
        "failures": dict(failures),
        "complete": load.made == options.requests,
        "before": before,
        "after": after,
        "samples": samples,
        "seconds": round(seconds, 2),
    }), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
