"""Many proxies, simulated: each has its own connection and Watch stream, subscribes, acknowledges. For trio.

Owns the streams, and when each version of a destination arrived at each proxy. The client is the one that real proxies
use; what a proxy does with its configuration is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_trio_grpc import Call, Stub, open_channel

SERVICE: Any = pb.DESCRIPTOR.services_by_name["Discovery"]


class Simulated:
    """One proxy. `arrived`: destination -> (version, when)."""

    def __init__(self, number: int, destinations: Sequence[str], news: Crowd) -> None:
        self.number, self.destinations, self._news = number, destinations, news
        self.arrived: dict[str, tuple[str, float]] = {}
        self.endpoints: dict[str, int] = {}
        self._scope = trio.CancelScope()

    async def run(self, address: str) -> None:
        """One connection, until `leave`; raises GrpcError when the control plane ends it."""
        with self._scope:
            async with open_channel(address) as channel, Stub(channel, SERVICE).Watch.open() as call:
                node = pb.Node(pod=f"proxy-{self.number}", namespace="scale", version="0.1.0", instance="1")
                await call.send(pb.WatchRequest(node=node))
                for destination in self.destinations:
                    held = self.arrived.get(destination, ("", 0.0))[0]
                    subscribe = pb.Subscribe(destination=destination, held_version=held)
                    await call.send(pb.WatchRequest(subscribe=subscribe))
                await self._listen(call)

    async def _listen(self, call: Call[pb.WatchRequest, pb.WatchResponse]) -> None:
        async for response in call:
            now = time.monotonic()
            name = response.destination.address if response.WhichOneof("kind") == "destination" else ""
            self.arrived[name] = (response.version, now)
            backends = response.destination.backends
            self.endpoints[name] = len(backends[0].endpoints) if backends else 0
            await call.send(pb.WatchRequest(ack=pb.Ack(destination=name or "inbound", version=response.version)))
            self._news.heard()

    def leave(self) -> None:
        """Cut the connection, as a node that dies does. What was learnt is kept."""
        self._scope.cancel()
        self._scope = trio.CancelScope()


class Crowd:
    """All of them, in one nursery."""

    def __init__(self, nursery: trio.Nursery, address: str) -> None:
        self._nursery, self._address = nursery, address
        self.proxies: list[Simulated] = []
        self._changed = trio.Event()

    def join(self, proxy: Simulated) -> None:
        """Connect it, for the first time or again."""
        if proxy not in self.proxies:
            self.proxies.append(proxy)
        self._nursery.start_soon(proxy.run, self._address)

    def heard(self) -> None:
        """Somebody has got something."""
        self._changed.set()

    async def until_all(self, holds: Callable[[Simulated], bool], seconds: float, what: str) -> None:
        """Wait until `holds(proxy)` for each. Raises Late after `seconds`."""
        missing = list(self.proxies)
        with trio.move_on_after(seconds):
            while missing := [proxy for proxy in missing if not holds(proxy)]:
                self._changed = trio.Event()
                await self._changed.wait()
                await trio.sleep(0.02)  # a wave of news is one look
        if missing:
            raise Late(f"after {seconds:g} s, {len(missing)} of {len(self.proxies)} proxies wait for {what}")


class Late(Exception):
    """The control plane did not get round to all of them."""
