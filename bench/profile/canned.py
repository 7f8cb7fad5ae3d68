"""Channels without a network: a client that sends so many requests, an upstream that always answers.

Each request and each answer has an id of its own, as where requests are traced: nothing that the proxy remembers of
earlier ones helps it. `same` makes all alike, as most load generators do. The channels stand where TcpChannel does
(tulle_data_plane.shell.channel.Channel), and never make anybody wait.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from math import inf

from tulle_plugin_api import Address

REQUEST = (
    b"GET /items/1?color=blue HTTP/1.1\r\nHost: app\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
    b"X-Request-Id: 5f1c8a52-6a0e-4a8e-9b7c-%012d\r\nAccept-Encoding: gzip, deflate\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\nX-Forwarded-Proto: http\r\n\r\n"
)
"""Eight fields."""

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 20 Nov 2026 20:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 3\r\nConnection: keep-alive\r\nX-Request-Id: 5f1c8a52-6a0e-4a8e-9b7c-%012d\r\n\r\nok\n"
)

VIP = Address("10.96.0.10", 80)
ENDPOINT = Address("10.10.0.1", 8080)


_NUMBERS = itertools.count(1)


OF_ONE_TURN = 16
"""Requests."""


class Client:
    """Sends `count` requests, each when asked for it, and then ends. Keeps the last answer."""

    identity = ""
    secured = False
    peer = Address("10.9.1.2", 40000)

    def __init__(self, count: int, *, same: bool = False, turn: Callable[[], Awaitable[None]] | None = None) -> None:
        """`turn`: ends the driver's turn, every so many requests; None: all are of one turn."""
        self.turn = turn
        self.patience = inf
        self.left = count
        self.step = 0 if same else 1
        self.number = next(_NUMBERS) * 1_000_000
        self.answers = 0
        self.last: bytes | bytearray | memoryview = b""

    async def recv(self, size: int = 65536) -> bytes:
        """The request; b"" when all were sent."""
        if not self.left:
            return b""
        if self.turn is not None and self.left % OF_ONE_TURN == 0:
            await self.turn()
        self.left -= 1
        self.number += self.step
        return REQUEST % self.number

    async def ask(self, data: bytes) -> bytes:
        """An answer; the next request."""
        await self.send_all(data)
        return await self.recv()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """An answer."""
        self.answers += 1
        self.last = data

    def send_eof(self) -> None:
        """Nothing to end."""

    def stale(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to abort."""


class Upstream(Client):
    """Always has an answer at hand."""

    def __init__(self, peer: Address = ENDPOINT, *, same: bool = False) -> None:
        super().__init__(0, same=same)
        self.peer = peer

    async def recv(self, size: int = 65536) -> bytes:
        """The answer."""
        self.number += self.step
        return ANSWER % self.number
