"""What a whole connection costs, and a request over a kept one: with real sockets on loopback, everything on.

Owns the counted side: a listener and its capture, as the proxy has them; clients and server are another process
(peer.py). What is not there: the kernel's part, which callgrind does not see, and its note of where a redirected
connection was going.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from unittest import mock

import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane import stack
from tulle_data_plane.host import Host
from tulle_data_plane.settings import Settings
from tulle_data_plane.shell.capture import Capture
from tulle_data_plane.shell.http1_server import Server
from tulle_data_plane.shell.listener import accept_forever, listen
from tulle_data_plane.telemetry import Telemetry
from tulle_plugin_api import Address, Plugins

from bench.profile import layers
from bench.profile.canned import VIP

NAMES = {"fresh": "a connection with one request", "kept": "a request over a kept connection"}


def _peer() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.profile.peer"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextlib.asynccontextmanager
async def serving(plugins: Plugins) -> AsyncIterator[Callable[[str, int], Awaitable[None]]]:
    """A capture and its peer; gives what has `count` requests of a kind answered. Raises AssertionError if one is not.
    """
    everything = layers.lines(plugins)[-1][1]
    async with layers.running() as driver:
        with _peer() as peer:
            assert peer.stdin is not None
            assert peer.stdout is not None
            there = Address("127.0.0.1", int(peer.stdout.readline()))
            host = Host(driver, Settings(exporters=everything.exporters), plugins)
            telemetry = Telemetry()
            host.observe("telemetry", telemetry.observe, telemetry.opened, telemetry.observer)
            for name in everything.exporters:
                host.add_exporter(name, plugins.exporters[name](layers._context(name)))
            with mock.patch.object(layers, "ENDPOINT", there):
                target = stack.outbound(layers.destination(everything.policies), host, None)

            async def lookup(address: Address) -> stack.Target:
                return target

            server = Server("outbound", driver, host.ended, limits=host.limits, head_seconds=10.0, idle_seconds=600.0)
            capture = Capture("outbound", host, lookup, {pb.PROTOCOL_HTTP1: server}, find_destination=lambda sock: VIP)
            listener = listen(0, loopback=True)[0]
            print(listener.getsockname()[1], file=peer.stdin, flush=True)

            async def answered(kind: str, count: int) -> None:
                print(kind, count, file=peer.stdin, flush=True)
                await trio.lowlevel.wait_readable(peer.stdout)  # type: ignore[arg-type]
                said = peer.stdout.readline().strip()  # type: ignore[union-attr]
                if said != "done":
                    raise AssertionError(said)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept_forever, driver, listener, capture.handle)
                yield answered
                nursery.cancel_scope.cancel()
            peer.stdin.close()
            host.outbound_pool.close()
