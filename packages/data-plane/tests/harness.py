"""A whole proxy in one process with its test, over loopback: everything is real but the kernel's redirection.

    async with mesh() as m, http_upstream() as app:
        await m.service(VIP, {"10.1.0.1": app.port})
        async with m.client() as client:
            assert (await client.get("/")).status == 200

Owns the proxy's life, and at its end the check that nothing is left: descriptors, watches, tasks. Services are
destinations applied by hand; `Client` judges answers with h11, `RawUpstream` is moved by the test step by step.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
import trio
import trio.testing
from tulle_api.v1 import discovery_pb2 as pb
from tulle_api.v1 import telemetry_pb2 as telemetry
from tulle_data_plane.log import log
from tulle_data_plane.proxy import Proxy
from tulle_data_plane.settings import BadSettings, Settings
from tulle_data_plane.stack import Rejected
from tulle_plugin_api import Address, Balancer, Endpoint, Exchange, Exporter, Headers, Plugins

__all__ = ["BadSettings", "Headers", "Rejected", "log", "telemetry"]

PATIENCE = 15
"""Seconds after which a test that waits for an event has failed. Nothing is ever asserted about time."""

VIP = Address("10.96.0.1", 80)


class Turns(Balancer):
    """Round robin, so that the package's tests need no plugin to be installed."""

    def __init__(self) -> None:
        self.turn = -1

    def pick(self, endpoints: Any, exchange: Exchange) -> Endpoint:
        self.turn += 1
        return endpoints[self.turn % len(endpoints)]


class Seen(Exporter):
    """Remembers what exporters are told."""

    def __init__(self) -> None:
        self.ended: list[Exchange] = []
        self.begun: list[Exchange] = []

    def observe(self, exchange: Exchange) -> None:
        self.ended.append(exchange)

    def opened(self, exchange: Exchange) -> None:
        self.begun.append(exchange)


def plugins(**more: Any) -> Plugins:
    """Round robin, and what the test adds: `policies={"name": Policy()}`."""
    made = Plugins(balancers={"round-robin": lambda config, runtime: Turns()})
    for kind, registry in more.items():
        getattr(made, kind).update(registry)
    return made


def destination(
    address: Address,
    endpoints: Iterable[tuple[str, int]] | Mapping[str, Iterable[tuple[str, int]]],
    *,
    weights: Mapping[str, int] | None = None,
    protocol: int = pb.PROTOCOL_DETECT,
    policies: Iterable[pb.Policy] = (),
    unresolved: Iterable[str] = (),
    meshed: bool = False,
    **more: Any,
) -> pb.Destination:
    """A Service at `address`: endpoints of its one backend, or of several by name with `weights`."""
    backends = endpoints if isinstance(endpoints, Mapping) else {"default/app-b:80": endpoints}
    message = pb.Destination(
        address=str(address), known=True, protocol=protocol, policies=policies,
        service=pb.Service(name="app-b", namespace="default", port=80, authority="app-b.default.svc.cluster.local:80"),
        **more,
    )
    for name, places in backends.items():
        message.backends.append(
            pb.Backend(name=name, resolved=name not in unresolved, endpoints=[
                pb.Endpoint(address=ip, port=port, pod=f"pod-{number}", namespace="default", meshed=meshed)
                for number, (ip, port) in enumerate(places)
            ])
        )
    if weights is not None:
        shares = [pb.WeightedBackend(backend=name, weight=weight) for name, weight in weights.items()]
        message.routes.append(pb.Route(name="default/split/0", backends=shares))
    return message


@dataclass
class Answer:
    """What a client got, as h11 understood it. `interim`: 1xx statuses that came before."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: list[int] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """The slug of an answer that the proxy made itself, else ""."""
        return self.headers.get("tulle-reason", "")


class Client:
    """An HTTP/1.1 client on one connection. h11 raises RemoteProtocolError for anything that is not HTTP."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT)

    async def get(self, path: str = "/", **fields: str) -> Answer:
        return await self.request("GET", path, **fields)

    async def request(self, method: str, path: str = "/", body: bytes | Iterable[bytes] = b"", **fields: str) -> Answer:
        """`body` as pieces is sent chunked, piece by piece; else all leaves at once. Field names with underscores."""
        head = self._head(method, path, body, fields)
        if isinstance(body, bytes):
            await self.send(head, h11.Data(data=body), h11.EndOfMessage())
        else:
            await self.send(head)
            for piece in body:
                await self.send(h11.Data(data=piece))
            await self.send(h11.EndOfMessage())
        return await self.answer()

    async def ask(self, method: str = "GET", path: str = "/", **fields: str) -> None:
        """Send a request without a body; `answer` is awaited by the test."""
        await self.send(self._head(method, path, b"", fields), h11.EndOfMessage())

    async def send_head(self, method: str, path: str, body: bytes | Iterable[bytes] = b"", **fields: str) -> None:
        await self.send(self._head(method, path, body, fields))

    def _head(self, method: str, path: str, body: bytes | Iterable[bytes], fields: Mapping[str, str]) -> h11.Request:
        if self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
        headers = [("host", "app-b")] + [(name.replace("_", "-"), value) for name, value in fields.items()]
        if not isinstance(body, bytes):
            headers.append(("transfer-encoding", "chunked"))
        elif body:
            headers.append(("content-length", str(len(body))))
        return h11.Request(method=method, target=path, headers=headers)

    async def send(self, *events: Any) -> None:
        data = b"".join(self.h11.send(event) or b"" for event in events)
        if data:
            with trio.fail_after(PATIENCE):
                await self.stream.send_all(data)

    async def event(self) -> Any:
        """The next event of the answer. A reset is OSError, an early end RemoteProtocolError."""
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(await self.receive())
        return event

    async def receive(self) -> bytes:
        """Raw bytes; b"" at the end. Raises OSError for a reset."""
        with trio.fail_after(PATIENCE):
            try:
                return await self.stream.receive_some(65536)
            except trio.BrokenResourceError as error:
                raise ConnectionResetError("reset") from error

    async def head(self) -> tuple[h11.Response, list[int]]:
        interim = []
        while isinstance(event := await self.event(), h11.InformationalResponse):
            interim.append(event.status_code)
        assert isinstance(event, h11.Response), event
        return event, interim

    async def answer(self) -> Answer:
        head, interim = await self.head()
        body = b""
        while isinstance(event := await self.event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        return Answer(head.status_code, fields, body, interim)

    async def ended(self) -> bool:
        """Wait for the end: True for an orderly one, False for a reset. Fails when bytes come instead."""
        try:
            data = await self.receive()
        except ConnectionResetError:
            return False
        assert data == b"", f"expected the end of the connection, got {data!r}"
        return True

    def reset(self) -> None:
        """Close with RST."""
        reset(self.stream)


def reset(stream: trio.SocketStream) -> None:
    """Close with RST, at once."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


class RawUpstream:
    """A listener whose connections the test moves by hand."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self.listener = listener
        self.port: int = listener.socket.getsockname()[1]
        self.peers: list[Peer] = []

    async def accept(self) -> Peer:
        with trio.fail_after(PATIENCE):
            self.peers.append(Peer(await self.listener.accept()))
        return self.peers[-1]

    async def request(self, end: bytes = b"\r\n\r\n") -> tuple[Peer, bytes]:
        """The next connection, and what came on it up to `end`."""
        peer = await self.accept()
        return peer, await peer.until(end)


class Peer:
    """One accepted connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.seen = b""

    async def until(self, end: bytes = b"\r\n\r\n") -> bytes:
        """Everything up to and including `end`."""
        with trio.fail_after(PATIENCE):
            while end not in self.seen:
                data = await self.stream.receive_some(65536)
                assert data, f"the connection ended after {self.seen!r}"
                self.seen += data
        found, _, self.seen = self.seen.partition(end)
        return found + end

    async def exactly(self, size: int) -> bytes:
        with trio.fail_after(PATIENCE):
            while len(self.seen) < size:
                data = await self.stream.receive_some(1 << 20)
                assert data, f"the connection ended after {len(self.seen)} bytes"
                self.seen += data
        found, self.seen = self.seen[:size], self.seen[size:]
        return found

    async def send(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(data)

    async def rest(self) -> tuple[bytes, bool]:
        """Everything to the end; True when it was an orderly one, False for a reset."""
        with trio.fail_after(PATIENCE):
            data, self.seen = self.seen, b""
            try:
                while piece := await self.stream.receive_some(1 << 20):
                    data += piece
            except trio.BrokenResourceError:
                return data, False
            return data, True

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    def close(self) -> None:
        self.stream.socket.close()

    def reset(self) -> None:
        reset(self.stream)


class Mesh:
    """One running proxy."""

    def __init__(self, settings: Settings, made: Plugins, **seams: Any) -> None:
        self.destinations: dict[str, Address] = {}  # local address that the client dials -> what it stands for
        self.proxy = Proxy(settings, made, find_destination=self._find, **seams)
        self.host, self.driver = self.proxy.host, self.proxy.driver
        self.seen = Seen()
        self.host.add_exporter("seen", self.seen)
        self._version = 0

    def _find(self, sock: socket.socket) -> Address:
        # the whole of 127.0.0.0/8 is local, so each destination is an address of its own that clients dial
        return self.destinations[sock.getsockname()[0]]

    # --- configuration ------------------------------------------------------------------------------------------

    @property
    def table(self) -> Any:
        return self.proxy.control.destinations

    async def apply(self, message: pb.Destination) -> Any:
        """Put a destination in force; returns its target."""
        host, _, port = message.address.rpartition(":")
        target = await self.driver.run(self.table.lookup, Address(host.strip("[]"), int(port)))
        self._version += 1
        self.table.apply(message, f"v{self._version}")
        return target

    async def service(self, address: Address, *places: int | tuple[str, int], **more: Any) -> Any:
        """A Service at `address` with endpoints on these loopback ports."""
        return await self.apply(
            destination(address, [p if isinstance(p, tuple) else ("127.0.0.1", p) for p in places], **more)
        )

    # --- clients ------------------------------------------------------------------------------------------------------

    async def dial(self, address: Address = VIP, direction: str = "outbound") -> trio.SocketStream:
        """A connection that the proxy takes to be for `address`."""
        if address not in self.destinations.values():
            self.destinations[f"127.0.1.{len(self.destinations) + 1}"] = address
        local = next(local for local, known in self.destinations.items() if known == address)
        # the kernel connects it at once, since the proxy listens; and before the proxy can have reset it again
        sock = socket.create_connection((local, self.proxy.ports[direction]))
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    @asynccontextmanager
    async def client(self, address: Address = VIP, direction: str = "outbound") -> AsyncIterator[Client]:
        async with await self.dial(address, direction) as stream:
            yield Client(stream)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Client]:
        async with await trio.open_tcp_stream("127.0.0.1", self.proxy.ports["admin"]) as stream:
            yield Client(stream)

    @asynccontextmanager
    async def raw_upstream(self) -> AsyncIterator[RawUpstream]:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        upstream = RawUpstream(listener)
        try:
            yield upstream
        finally:
            listener.socket.close()
            for peer in upstream.peers:
                peer.close()

    # --- the state of things -------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        return sum(capture.open for capture in self.proxy.captures.values())

    @property
    def watched(self) -> int:
        """Connections that the driver watches: descriptors that do not listen."""
        return sum(not _listens(fd) for fd in self.driver.watches)

    def counter(self, name: str) -> float:
        return self.proxy.counters().get(f"tulle_proxy_{name}", 0)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Let everything run until `condition` holds."""
        await until(condition)

    async def settled(self) -> None:
        """Until no connection is open, and all that ended has been told of."""
        await self.until(lambda: not self.open)


def _listens(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as copy:
        return bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


async def until(condition: Callable[[], Any]) -> None:
    """Let everything run until `condition` holds. Real seconds bound it, whatever the test's clock."""
    patience = Patience()
    while not condition():
        patience.check(condition)
        await trio.lowlevel.checkpoint()


class Patience:
    """Real time, also under a mock clock."""

    def __init__(self) -> None:
        import time

        self._now = time.monotonic
        self._end = self._now() + PATIENCE

    def check(self, what: object) -> None:
        assert self._now() < self._end, f"waited in vain for {what!r}"


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def descriptors() -> dict[str, str]:
    """What is open, by number."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass  # of the listing itself
    return found


def settings(**given: Any) -> Settings:
    """Ports that the system chooses, no exporters, a short drain: a test's proxy has nobody to wait for."""
    return Settings(**{
        "outbound_port": 0, "inbound_port": 0, "admin_port": 0, "exporters": (), "drain_seconds": 5.0,
        "pod_name": "app-a-1", "pod_ip": "10.1.0.9", "connect_seconds_outbound": 10.0, "connect_seconds_inbound": 10.0,
        **given,
    })


@asynccontextmanager
async def mesh(
    made: Plugins | None = None, *, seams: Mapping[str, Any] | None = None, **given: Any
) -> AsyncIterator[Mesh]:
    """A running proxy. Leaving the block drains it, and fails if anything is left: descriptors, watches, tasks."""
    opened_before, tasks_before = descriptors(), tasks()
    m = Mesh(settings(**given), made or plugins(), **(seams or {}))
    _running.append(m)
    alone = len(_running) == 1 and not m.host.settings.control_plane
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(m.proxy.run)
            await trio.testing.wait_all_tasks_blocked()
            m.tasks_at_rest = tasks()
            yield m
            await m.settled()
            if alone:  # else one's pool keeps another's connections open
                await until(lambda: tasks() <= m.tasks_at_rest)
            assert m.counter("requests_in_flight") == 0
            # each descriptor that is watched besides is one that a pool keeps
            await until(lambda: m.watched == m.host.outbound_pool.idle + m.host.inbound_pool.idle)
            m.proxy.shut_down()
    finally:
        _running.remove(m)
    assert not m.driver.watches
    await until(lambda: tasks() == tasks_before)
    if not m.host.settings.control_plane:  # grpcio's own come and go
        await until(lambda: not (descriptors().items() - opened_before.items()))


_running: list[Mesh] = []
