"""Relaying: bytes both ways between two channels, nothing parsed. For opaque TCP, and after an Upgrade.

Owns both channels until both sides have ended. Half-close is kept: when one side ends its sending, the other is
told, and may go on sending. A reset on one side becomes a reset on the other, never a clean end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio
from tulle_plugin_api import Exchange, Headers, Response

from tulle_data_plane.driver import Driver
from tulle_data_plane.shell.channel import Channel

PIECE = 1 << 18
"""Bytes asked of one recv: bulk transfers cost few steps, and memory a connection stays bounded."""


class Tunnel(Response):
    """An answer that is a connection: of an opaque exchange (status 0), or after 101. Its receiver ends it."""

    __slots__ = ("ahead", "channel", "exchange", "first", "upgrade")

    def __init__(
        self,
        channel: Channel,
        first: bytes = b"",
        *,
        status: int = 0,
        headers: Headers | None = None,
        upgrade: str = "",
    ) -> None:
        """`first`: bytes of the upstream that were read with the head. `upgrade`: the protocol agreed on."""
        super().__init__(status, headers)
        self.channel = channel
        self.first = first
        self.upgrade = upgrade
        self.ahead = b""  # what the client has sent after its request: the tunnel's beginning
        self.exchange: Exchange | None = None  # the request that turned into it


async def relay(driver: Driver, client: Channel, first: bytes, tunnel: Tunnel, exchange: Exchange) -> None:
    """Relay until both sides have ended, counting into `exchange`; `first` is what the client has already said.

    Runs under trio (two strands in a nursery). Closes both channels, on cancel with a reset.
    """
    upstream = tunnel.channel
    clean = False
    try:
        async with trio.open_nursery() as nursery:

            async def up() -> None:
                async for size in _pump(client, upstream, first):
                    exchange.request_bytes += size

            async def down() -> None:
                async for size in _pump(upstream, client, tunnel.first):
                    exchange.response_bytes += size

            nursery.start_soon(driver.run, up)
            nursery.start_soon(driver.run, down)
        clean = True
    except* OSError as errors:
        exchange.aborted = True
        exchange.reason = exchange.reason or "tcp-reset"
        exchange.attributes["tcp.error"] = str(errors.exceptions[0])
    finally:
        for channel in (client, upstream):
            channel.close() if clean else channel.abort()


async def _pump(source: Channel, sink: Channel, data: bytes) -> AsyncIterator[int]:
    """Move bytes one way until `source` ends, then end `sink`; yields how many went. `data` goes first."""
    while True:
        if data:
            await sink.send_all(data)
            yield len(data)
        data = await source.recv(PIECE)
        if not data:
            sink.send_eof()
            return
