"""Destinations: what this proxy knows of the places that its application calls, learnt on demand.

Owns the table from (ip, port) to Target: first use subscribes, answers update it, idle entries are evicted. Refuses to
know how the control plane is reached: it is given `subscribe` and `unsubscribe`, and `apply` is called with answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from math import inf
from weakref import WeakValueDictionary

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Handler

from tulle_data_plane import stack
from tulle_data_plane.driver import Signal
from tulle_data_plane.host import Host
from tulle_data_plane.log import say

MAX_ENTRIES = 4096
"""Destinations known at one time; what is called beyond them passes through, unknown to the control plane."""


DOUBT_SECONDS = 10.0
"""A control plane that has just come back may not have read everything yet. What it says in its first moments is
believed, except that a destination which had endpoints has none: that must still be so after this time."""


class Entry:
    """One destination."""

    __slots__ = ("arrived", "target", "version")

    def __init__(self, target: stack.Target, arrived: Signal) -> None:
        self.target = target  # one object for the entry's life, so that connections see changes
        self.arrived = arrived  # set once the control plane has answered, or is known to be away
        self.version = ""


class Destinations:
    """The table. `lookup` is called by strands, the rest by the control stream."""

    def __init__(
        self, host: Host, subscribe: Callable[[Address, str], None], unsubscribe: Callable[[Address], None]
    ) -> None:
        """`subscribe(address, held_version)` and `unsubscribe(address)` queue a message to the control plane."""
        self._host = host
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self.entries: dict[Address, Entry] = {}
        self.connected = False  # to the control plane
        self._connected_at = -inf
        self._doubted: dict[Address, tuple[float, pb.Destination, str]] = {}
        self.inbound: dict[int, stack.Target] = {}  # as configured
        self._inbound_default = stack.inbound(pb.InboundPort(), host)
        # also the ports that have no configuration, for as long as a connection is served with it: it sees changes
        self._inbound_in_use: WeakValueDictionary[int, stack.Target] = WeakValueDictionary()
        self._around_inbound: Callable[[stack.Target, Handler], Handler] | None = None

    # --- asked by connections ----------------------------------------------------------------------------

    async def lookup(self, address: Address) -> stack.Target:
        """The target for an outbound destination. Waits for the control plane a little, then passes through."""
        entry = self.entries.get(address)
        if entry is None:
            if len(self.entries) >= MAX_ENTRIES:  # a scanner behind the proxy, more likely than an app
                self._host.count("destinations_over_limit_total")
                return stack.pass_through(self._host)
            entry = Entry(stack.pass_through(self._host), Signal(self._host.driver))
            entry.target.last_used = self._host.driver.now()
            self.entries[address] = entry
            self._subscribe(address, "")
        if not entry.arrived.is_set and self.connected:
            seconds = self._host.settings.discovery_seconds
            try:
                with self._host.driver.deadline(seconds, _Late()):
                    await entry.arrived.wait()
            except _Late:
                self._host.count("discovery_timeouts_total")
                say(logging.WARNING, "control plane did not answer in time; passing through",
                    destination=str(address), seconds=seconds)
        return entry.target

    async def lookup_inbound(self, address: Address) -> stack.Target:
        """The target for one of the pod's own ports."""
        target = self._inbound_in_use.get(address.port)
        if target is None:
            target = self._inbound_in_use[address.port] = replace(self._inbound_default)
            self._look_at(target)
        return target

    def version_of(self, address: Address) -> str:
        """Of the configuration in force for a destination, or ""."""
        entry = self.entries.get(address)
        return entry.version if entry is not None else ""

    # --- looked at by explanations -----------------------------------------------------------------------------

    def look_at_inbound(self, around: Callable[[stack.Target, Handler], Handler] | None) -> None:
        """Put something around every inbound target's handler, also of those to come; None: take it off again."""
        self._around_inbound = around
        self._look_again()

    def _look_again(self) -> None:
        for target in {id(one): one for one in (*self.inbound.values(), *self._inbound_in_use.values())}.values():
            self._look_at(target)

    def _look_at(self, target: stack.Target) -> None:
        # what was put around a handler knows it, so that a configuration that arrives meanwhile is looked at, too
        plain: Handler = getattr(target.handler, "within", target.handler)
        around = self._around_inbound
        target.handler = plain
        if around is not None:
            target.handler = around(target, plain)
            target.handler.within = plain  # type: ignore[attr-defined]

    # --- told by the control plane -------------------------------------------------------------------------

    def connect(self) -> None:
        """The control plane is there: a stream begins."""
        self.connected = True
        self._connected_at = self._host.driver.now()

    def apply(self, message: pb.Destination, version: str, *, sure: bool = False) -> bool:
        """Put a destination's configuration in force; False if it is doubted, and must be asked for by `settle`.

        Raises stack.Rejected, having changed nothing.
        """
        address = parse_address(message.address)
        self._doubted.pop(address, None)  # whatever was said before
        entry = self.entries.get(address)
        if entry is None:
            return True  # evicted while the answer was under way
        entry.arrived.set()  # refused or not, it is an answer: connections wait no longer
        had = entry.target.addresses
        young = self._host.driver.now() - self._connected_at < DOUBT_SECONDS
        if had and young and not sure and not any(backend.endpoints for backend in message.backends):
            self._doubted[address] = (self._host.driver.now() + DOUBT_SECONDS, message, version)
            self._host.count("configurations_doubted_total")
            say(logging.WARNING, "a control plane that has just come back says that nobody serves this; doubted",
                destination=message.address, seconds=DOUBT_SECONDS)
            return False
        if message.known:
            before = entry.target if entry.target.known else None
            target = stack.outbound(message, self._host, before)
            if target is not entry.target:
                entry.target.become(target)
        elif entry.target.known:
            entry.target.become(stack.pass_through(self._host))
        self._forget(had - entry.target.addresses)
        entry.version = version
        return True

    def settle(self, now: float) -> list[tuple[pb.Destination, str]]:
        """What was doubted for long enough: message and version, to be applied with `sure`."""
        return [(message, version) for at, message, version in self._doubted.values() if now >= at]

    def apply_inbound(self, message: pb.Inbound) -> None:
        """Put the inbound configuration in force, all of it or none. Raises stack.Rejected."""
        targets: dict[int, stack.Target] = {}
        try:
            for port in message.ports:
                targets[port.port] = stack.inbound(port, self._host)
        except BaseException:
            for target in targets.values():
                target.end()
            raise
        for number, target in self.inbound.items():
            if number not in self._inbound_in_use:  # the others are ended by what they become
                target.end()
        for number, target in list(self._inbound_in_use.items()):
            target.become(targets.get(number, self._inbound_default))
            if number in targets:
                targets[number] = target
        self.inbound = targets
        self._host.source.labels = dict(message.labels)
        self._inbound_in_use.update(targets)
        if self._around_inbound is not None:
            self._look_again()

    def disconnected(self) -> None:
        """The control plane is away: nobody waits for it. What is known stays in force."""
        self.connected = False
        self._doubted.clear()
        for entry in self.entries.values():
            entry.arrived.set()

    def evict(self, now: float) -> None:
        """Forget destinations that have not been used for a while, so that memory follows use, not the cluster."""
        idle = self._host.settings.destination_idle_seconds
        for address, entry in list(self.entries.items()):
            if not entry.target.users and now - entry.target.last_used > idle:
                del self.entries[address]
                entry.target.end()
                self._unsubscribe(address)
                self._forget(entry.target.addresses)

    def _forget(self, left: set[Address]) -> None:
        for address in left:
            self._host.outbound_pool.forget(address)


def parse_address(text: str) -> Address:
    """"10.96.0.7:80" or "[fd00::7]:80" as an Address. Raises stack.Rejected."""
    ip, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise stack.Rejected(f"{text!r} is not a destination; expected IP:PORT, such as 10.96.0.7:80")
    return Address(ip.strip("[]"), int(port))


class _Late(Exception):
    """The control plane did not answer in time."""
