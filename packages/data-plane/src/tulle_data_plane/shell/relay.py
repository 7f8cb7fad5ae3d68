"""Relaying: bytes both ways between two channels, nothing parsed. For opaque TCP, and after an Upgrade.

Owns both channels until both sides have ended. Half-close is kept: when one side ends its sending, the other is
told, and may go on sending, though not be silent for ever. A reset on one side becomes a reset on the other, never a
clean end.

Bytes are copied through this process, until a transfer proves to be bulk: then the kernel moves them (splice.py).
"""

from __future__ import annotations

from collections.abc import Callable

from tulle_plugin_api import Exchange, Headers, Response

from tulle_data_plane.driver import Child, Driver, Signal
from tulle_data_plane.limits import hit
from tulle_data_plane.shell.channel import Channel, TcpChannel
from tulle_data_plane.shell.splice import FEW, Pipes, splice
from tulle_data_plane.strands import RECEIVE_SIZE

PIECE = 1 << 18
"""Bytes asked of one recv where many come: few steps, and memory a connection stays bounded."""

BULK = 1 << 18
"""Bytes in reads that bring many each: then it is a bulk transfer, and worth a pipe."""


class Tunnel(Response):
    """An answer that is a connection: of an opaque exchange (status 0), after 101, or of a CONNECT (2xx). Its receiver
    ends it."""

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

    def __del__(self) -> None:
        # A policy that answers in its stead does not know that there is something to end. Ended already: no harm.
        self.channel.abort()


async def relay(
    driver: Driver,
    client: Channel,
    first: bytes,
    tunnel: Tunnel,
    exchange: Exchange,
    pipes: Pipes,
    half_closed_seconds: float,
) -> None:
    """Relay until both sides have ended, counting into `exchange`; `first` is what the client has already said.

    `half_closed_seconds`: when one side has ended and nothing moves for so long, both are reset.
    As a strand, with a child for each way. Closes both channels, on cancel with a reset.
    """
    upstream = tunnel.channel
    one_ended = Signal(driver)

    async def one_way(source: Channel, sink: Channel, data: bytes, moved: Callable[[int], None]) -> None:
        try:
            await pump(source, sink, data, moved, pipes)
        finally:
            one_ended.set()

    def up(size: int) -> None:
        exchange.request_bytes += size

    def down(size: int) -> None:
        exchange.response_bytes += size

    ways = [
        driver.beside(one_way, client, upstream, first, up),
        driver.beside(one_way, upstream, client, tunnel.first, down),
    ]
    clean = False
    try:
        await one_ended.wait()
        for way in sorted(ways, key=lambda way: not way.done.is_set):  # first that which has ended
            await _ended(driver, way, exchange, half_closed_seconds)
        clean = True
    except OSError as error:
        exchange.aborted = True
        exchange.reason = exchange.reason or getattr(error, "reason", "tcp-reset")
        exchange.attributes["tcp.error"] = str(error)
    finally:
        for way in ways:
            way.cancel()
        for channel in (client, upstream):
            channel.close() if clean else channel.abort()


async def pump(source: Channel, sink: Channel, data: bytes, moved: Callable[[int], None], pipes: Pipes) -> None:
    """Move bytes one way until `source` ends, then end `sink`; `data` goes first. As a strand.

    `moved` is told how many bytes the sink has taken. Raises what the channels do, and ends neither then.
    """
    run = 0  # bytes in reads that brought many each
    while True:
        if data:
            await sink.send_all(data)
            moved(len(data))
            run = run + len(data) if len(data) >= FEW else 0
            if run >= BULK and isinstance(source, TcpChannel) and isinstance(sink, TcpChannel):
                await splice(source, sink, pipes, moved)
                run = 0
        data = await source.recv(PIECE if len(data) >= FEW else RECEIVE_SIZE)
        if not data:
            sink.send_eof()
            return


async def _ended(driver: Driver, way: Child, exchange: Exchange, seconds: float) -> None:
    """Wait for its end, and raise its error. Or HalfClosedTooLong, once nothing has been counted for so long; or for up
    to twice that, and no message costs a timer."""
    while not way.done.is_set:
        before = exchange.request_bytes + exchange.response_bytes
        try:
            with driver.deadline(seconds, _Silent()):
                await way.done.wait()
        except _Silent:
            if exchange.request_bytes + exchange.response_bytes == before:
                hit("half_closed_seconds")
                raise HalfClosedTooLong(
                    f"one side has ended, and nothing came from the other for {seconds:g} s"
                ) from None
    if way.error is not None:
        raise way.error


class _Silent(Exception):
    """Time to look whether anything has come."""


class HalfClosedTooLong(OSError):
    """What a half-closed relay is reset for."""

    reason = "half-closed-timeout"
