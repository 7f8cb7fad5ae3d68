"""The same small request again and again, and how each ended: status and, where a proxy of ours says so, the reason.

    outcomes.py HOST [--requests 10000] [--connections 16]

Each connection has one request under way and is kept. Nothing is tried again; a reset, an end, a timeout (60 s: a
policy that blocks holds everybody up, and that is no failure yet) are each one outcome of their own. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import time
from collections import Counter

TIMEOUT = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REASON = re.compile(rb"\r\ntulle-reason: *([\w-]+)", re.IGNORECASE)


class Load:
    """What all connections share."""

    def __init__(self, host: str, requests: int) -> None:
        self.request = b"GET /small HTTP/1.1\r\nhost: %b\r\n\r\n" % host.encode()
        self.left = requests
        self.outcomes: Counter[str] = Counter()

    async def connection(self, address: tuple[str, int]) -> None:
        """Ask until there is nothing left to ask; open anew when it breaks."""
        while self.left > 0:
            writer = None
            try:
                reader, writer = await asyncio.open_connection(*address)
                while self.left > 0:
                    self.left -= 1
                    self.outcomes[await self.ask(reader, writer)] += 1
            except (OSError, EOFError, TimeoutError) as error:
                self.outcomes[type(error).__name__] += 1
            finally:
                if writer is not None:
                    writer.close()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """One request; "200", or "500 policy-error"."""
        async with asyncio.timeout(TIMEOUT):
            writer.write(self.request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
        reason = _REASON.search(head)
        return head[9:12].decode() + (f" {reason[1].decode()}" if reason else "")


async def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    load = Load(options.host, options.requests)
    address = (socket.gethostbyname(options.host), 80)
    began = time.monotonic()
    await asyncio.gather(*(load.connection(address) for _ in range(options.connections)))
    print(json.dumps({"outcomes": load.outcomes, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    asyncio.run(main())
