"""Many HTTP/1.1 servers in one process, each on a port of its own, that are slow, fail or hang when they are told to.

    targets.py FIRST COUNT

Target n (from 1) listens at FIRST + n, and answers with its number. They are told what to be at FIRST:

| path | |
|---|---|
| /be?target=N&delay=S&status=C&share=P&after=R&hang=1 | from now on: wait S seconds; answer P per cent (all, if not
  said) with C, once R requests (0, if not said) have come; never answer. Without `target` all of them; what is not said
  is as at the beginning |
| /counts | requests that have come since the last /reset, by target, as JSON |
| /reset | zero the counts, and be as at the beginning |

Says "ready" when all listen. One process, so that what they count is counted together; they keep connections, and are
strict about nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import urllib.parse
from dataclasses import dataclass


@dataclass
class Target:
    """One server, and how it is to be."""

    number: int
    requests: int = 0
    delay: float = 0.0
    status: int = 200
    share: float = 100.0
    after: int = 0
    hang: bool = False

    def be(
        self, delay: float = 0.0, status: int = 200, share: float = 100.0, after: int = 0, hang: bool = False
    ) -> None:
        """From now on."""
        self.delay, self.status, self.share, self.after, self.hang = delay, status, share, after, hang


def whole(status: int, body: bytes) -> bytes:
    """An answer."""
    return b"HTTP/1.1 %d Said\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


class Connection(asyncio.Protocol):
    """One client of a target."""

    transport: asyncio.Transport

    def __init__(self, target: Target) -> None:
        self.target = target
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete; the requests have no bodies."""
        data = self.buffer + data
        while (at := data.find(b"\r\n\r\n")) >= 0:
            data = data[at + 4 :]
            self.answer()
        self.buffer = data

    def answer(self) -> None:
        """One request."""
        target = self.target
        target.requests += 1
        if target.hang:
            return
        fails = target.status != 200 and target.requests > target.after and random.random() * 100 < target.share
        said = whole(target.status if fails else 200, b"%d" % target.number)
        if target.delay:
            asyncio.get_running_loop().call_later(target.delay, self.transport.write, said)
        else:
            self.transport.write(said)


async def control(targets: list[Target], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request of whoever tells them what to be."""
    line = (await reader.readline()).decode()
    while (await reader.readline()).strip():
        pass
    url = urllib.parse.urlsplit(line.split(" ")[1])
    said = dict(urllib.parse.parse_qsl(url.query))
    number = int(said.pop("target", "0"))
    status, body = 200, b"ok"
    if url.path == "/be":
        for target in targets:
            if number in (0, target.number):
                target.be(float(said.get("delay", 0)), int(said.get("status", 200)), float(said.get("share", 100)),
                          int(said.get("after", 0)), "hang" in said)
    elif url.path == "/reset":
        for target in targets:
            target.be()
            target.requests = 0
    elif url.path == "/counts":
        body = json.dumps({target.number: target.requests for target in targets}).encode()
    elif url.path != "/ready":
        status = 404
    writer.write(whole(status, body))
    await writer.drain()
    writer.close()


async def serve(first: int, count: int) -> None:
    """Until killed."""
    loop = asyncio.get_running_loop()
    targets = [Target(number) for number in range(1, count + 1)]
    for target in targets:
        def connected(target: Target = target) -> Connection:
            return Connection(target)

        await loop.create_server(connected, "0.0.0.0", first + target.number, backlog=1024)
    server = await asyncio.start_server(lambda reader, writer: control(targets, reader, writer), "0.0.0.0", first)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
