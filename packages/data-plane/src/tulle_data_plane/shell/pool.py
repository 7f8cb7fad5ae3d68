"""Kept connections to upstreams, by address.

Owns idle connections and their reaping. Refuses to know what is said over them: a connection comes back only when
its codec found it clean. The happy path is one dictionary look-up and one pop.
"""

from __future__ import annotations

import sys

from tulle_plugin_api import Address

from tulle_data_plane.driver import Driver
from tulle_data_plane.errors import ConnectFailed, ConnectTimedOut, OutOfDescriptors
from tulle_data_plane.shell.channel import Channel, connect
from tulle_data_plane.shell.descriptors import RESOURCE_ERRORS

REMEMBERED_SECONDS = 600.0
"""An endpoint that has left is remembered for so long: longer than nearly every request takes."""


class Pool:
    """Idle connections, newest first: the newest is the least likely to be stale, the oldest go by `reap`."""

    def __init__(
        self,
        driver: Driver,
        connect_seconds: float,
        idle_seconds: float,
        max_idle: int = 256,
        ceiling: int = sys.maxsize,
    ) -> None:
        """`max_idle`: kept connections an address; more are closed on return. `ceiling`: see descriptors.py."""
        self._driver = driver
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._max_idle = max_idle
        self._ceiling = ceiling
        self._idle: dict[Address, list[tuple[float, Channel]]] = {}
        self._left: dict[Address, float] = {}  # endpoints that have left while connections to them were in use
        self.connects = 0  # ever

    def take(self, address: Address) -> Channel | None:
        """A kept connection that is not known to be stale, or None."""
        idle = self._idle.get(address)
        while idle:
            _, channel = idle.pop()
            if not channel.stale():
                return channel
            channel.close()
        return None

    async def connect(self, address: Address) -> Channel:
        """A new connection. Raises ConnectFailed, ConnectTimedOut or OutOfDescriptors, with the address and why."""
        self.connects += 1
        self._left.pop(address, None)
        try:
            with self._driver.deadline(
                self._connect_seconds,
                ConnectTimedOut(f"no connection to {address} within {self._connect_seconds:g} s"),
            ):
                return await connect(self._driver, address, self._ceiling)
        except OSError as error:
            if error.errno in RESOURCE_ERRORS:
                raise OutOfDescriptors(f"no connection to {address}: {error.strerror}") from None
            raise ConnectFailed(f"no connection to {address}: {error.strerror or error}") from None

    def give_back(self, channel: Channel) -> None:
        """Keep a clean connection for the next exchange; it is closed if there are enough, or its endpoint has left."""
        address = channel.peer
        idle = self._idle.get(address)
        if idle is None:
            idle = self._idle[address] = []
        if len(idle) >= self._max_idle or (self._left and address in self._left):
            channel.close()
        else:
            idle.append((self._driver.time, channel))

    def reap(self, now: float) -> None:
        """Close what has been idle for too long, or is stale."""
        for address, idle in list(self._idle.items()):
            kept = []
            for since, channel in idle:
                if now - since > self._idle_seconds or channel.stale():
                    channel.close()
                else:
                    kept.append((since, channel))
            if kept:
                self._idle[address] = kept
            else:
                del self._idle[address]
        if self._left:
            self._left = {address: since for address, since in self._left.items() if now - since < REMEMBERED_SECONDS}

    def forget(self, address: Address) -> None:
        """Close what is kept for an endpoint that has left, and later what is in use now: it may finish its drain."""
        self._left[address] = self._driver.now()
        for _, channel in self._idle.pop(address, ()):
            channel.close()

    def close(self) -> None:
        """Close everything kept."""
        for idle in self._idle.values():
            for _, channel in idle:
                channel.close()
        self._idle.clear()

    @property
    def idle(self) -> int:
        """Connections kept now."""
        return sum(map(len, self._idle.values()))
