"""A TCP proxy on loopback that does to connections what networks do: delay, slice, stall, cut, reset.

    async with fault_proxy(upstream.port, Faults(reset_after=100)) as proxy:
        stream = await trio.open_tcp_stream("127.0.0.1", proxy.port)

Owns its listener and every connection through it; leaving the block, or its cancellation, closes them all.
After Toxiproxy's toxics. Fine here; packet loss and reordering need the kernel (tc netem).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf

import trio
from trio.abc import ReceiveStream

_READ = 65536


@dataclass(frozen=True)
class Faults:
    """What happens to connections. Bytes are counted per direction; the default is a faultless relay."""

    refuse: bool = False
    """Reset each connection as soon as it was accepted."""
    latency: float = 0.0
    """Seconds before each piece is passed on."""
    slice: int = _READ
    """Bytes in a piece at most: 1 makes every byte arrive alone."""
    stall_after: float = inf
    """Bytes that are passed on; after them the connection stays open and silent."""
    close_after: float = inf
    """Bytes that are passed on; after them both sides are closed in order."""
    reset_after: float = inf
    """Bytes that are passed on; after them both sides are reset."""
    slow_close: float = 0.0
    """Seconds by which the end of a direction is passed on late."""


class Cut(Exception):
    """The fault's moment has come: end the connection. `reset`: with RST instead of FIN."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


async def pump(source: ReceiveStream, sink: trio.abc.HalfCloseableStream, faults: Faults) -> int:
    """Pass bytes on until the end, then the end; returns how many. Raises Cut when a fault ends the connection."""
    limit = min(faults.stall_after, faults.close_after, faults.reset_after)
    passed = 0
    while data := await source.receive_some(_READ):
        while data and passed < limit:
            size = int(min(len(data), faults.slice, limit - passed))
            if faults.latency:
                await trio.sleep(faults.latency)
            await sink.send_all(data[:size])
            data, passed = data[size:], passed + size
        if passed >= limit:
            if passed >= faults.reset_after:
                raise Cut(reset=True)
            if passed >= faults.close_after:
                raise Cut(reset=False)
            await trio.sleep_forever()
    if faults.slow_close:
        await trio.sleep(faults.slow_close)
    await sink.send_eof()
    return passed


class FaultProxy:
    """A running fault proxy. `faults` may be replaced at any time; connections made from then on have the new ones."""

    def __init__(self, port: int, target: tuple[str, int], faults: Faults) -> None:
        self.port = port
        self.target = target
        self.faults = faults
        self.connections = 0
        """How many were accepted so far."""

    async def relay(self, client: trio.SocketStream) -> None:
        """One connection, from accept to close. Whatever breaks on the way ends it and nothing else."""
        self.connections += 1
        faults = self.faults
        async with client:
            if faults.refuse:
                return _reset(client)
            try:
                server = await trio.open_tcp_stream(*self.target)
            except OSError:
                return _reset(client)
            async with server:
                cut = None
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(pump, client, server, faults)
                        nursery.start_soon(pump, server, client, faults)
                except* Cut as cuts:
                    cut = cuts
                except* (trio.BrokenResourceError, trio.ClosedResourceError):
                    _reset(client, server)  # one side broke: let the other see it too
                if cut is not None and any(isinstance(one, Cut) and one.reset for one in cut.exceptions):
                    _reset(client, server)
        return None


def _reset(*streams: trio.SocketStream) -> None:
    """Make closing send RST: linger for 0 seconds."""
    for stream in streams:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def fault_proxy(
    target_port: int, faults: Faults | None = None, target_host: str = "127.0.0.1"
) -> AsyncIterator[FaultProxy]:
    """A fault proxy on a free loopback port, in front of `target_host:target_port`."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = FaultProxy(listener.socket.getsockname()[1], (target_host, target_port), faults or Faults())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.relay, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
