"""Cancelled at every point: one exchange of each kind is run again and again, and its connection's strand cancelled at
the driver's first step, at its second, at its third... Each time nothing may be left, and the next client be served.
"""

import contextlib
import random
from functools import partial

import h11
import pytest
import trio
import trio.testing
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Config, Policy, Position
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

REDIS = Address("10.96.0.2", 6379)
MOST = 400
"""Steps of one exchange; a sweep that has not ended by then goes nowhere."""


BODIES = {"/long": (b"x" * 100_000, b"y"), "/bulk": random.Random(5).randbytes(6 << 20)}
SPLICED = ("bulk", "large download", "large upload")


class Nothing(Config):
    """No settings."""


class UnderTrio(Policy[Nothing]):
    """Crosses to trio and back."""

    config, position = Nothing, Position.REQUEST

    def build(self, config, next, runtime):
        async def handler(exchange):
            await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
            response = await next(exchange)
            await trio.lowlevel.checkpoint()
            return response

        return handler


class Sweep:
    """Cancels captured connections' strands when the driver has made so many steps since `arm`."""

    def __init__(self, m, monkeypatch):
        self.left, self.hit, self.strands = None, False, []
        self.pipes_at_hit = 0  # the most that were in use when the axe fell
        capture = type(m.proxy.captures["outbound"])
        step, handle = m.driver._step, capture.handle

        def counted(strand):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    self.left, self.hit = None, True
                    self.pipes_at_hit = max(self.pipes_at_hit, m.host.pipes.used)
                    for one in self.strands:
                        one.owner.stop(one)
            step(strand)

        async def cancellable(capture, sock, peer):
            strand = m.driver.current_strand()
            self.strands.append(strand)
            try:
                await handle(capture, sock, peer)
            finally:
                self.strands.remove(strand)

        monkeypatch.setattr(m.driver, "_step", counted)
        monkeypatch.setattr(capture, "handle", cancellable)

    def arm(self, at):
        self.left, self.hit = at, False

    def disarm(self):
        self.left = None


async def plain(m, client):
    await client.get()
    await client.get()


async def post(m, client):
    await client.request("POST", "/", b"body")


async def upload(m, client):
    await client.request("POST", "/", [b"one", b"two" * 50_000, b"three"])


async def download(m, client):
    await client.get("/long")


async def large_download(m, client):
    await client.stream.send_all(b"GET /bulk HTTP/1.1\r\nhost: a\r\n\r\n")
    data, body = b"", BODIES["/bulk"]
    try:
        while len(data.partition(b"\r\n\r\n")[2]) < len(body):
            if not (piece := await client.receive()):
                break
            data += piece
    finally:
        assert body.startswith(data.partition(b"\r\n\r\n")[2]), "nothing of one that was cut before"


async def large_upload(m, client):
    await client.request("POST", "/echo", BODIES["/bulk"])


async def connect(m, client):
    await client.stream.send_all(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\nahead")
    await client.stream.receive_some(65536)
    await client.stream.send_eof()
    while await client.receive():
        pass


async def crossing(m, client):
    await client.request("POST", "/trio", [b"one", b"two"])


async def refused(m, client):
    await client.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    while await client.receive():
        pass
    client.stream.socket.close()  # or it would be listened to for a while


async def relayed(m, client):
    await client.stream.send_all(b"GET /raw HTTP/1.1\r\nhost: a\r\n\r\n")
    await client.stream.receive_some(65536)
    await client.stream.send_eof()
    while await client.receive():
        pass


async def bulk(m, client):
    await client.stream.send_all(b"GET /bulk HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    data = b""
    try:
        while piece := await client.receive():
            data += piece
    finally:
        assert BODIES["/bulk"].startswith(data.partition(b"\r\n\r\n")[2]), "nothing of one that was cut before"


@contextlib.asynccontextmanager
async def tunnels():
    """A server that grants every CONNECT, and echoes."""

    async def serve(stream):
        head = b""
        try:
            while not head.endswith(b"\r\n\r\n"):
                if not (byte := await stream.receive_some(1)):
                    return
                head += byte
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
            while data := await stream.receive_some(65536):
                await stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


KINDS = {
    "plain": (plain, Address("10.96.0.1", 80)),
    "post": (post, Address("10.96.0.1", 80)),
    "upload": (upload, Address("10.96.0.1", 80)),
    "download": (download, Address("10.96.0.1", 80)),
    "large download": (large_download, Address("10.96.0.1", 80)),
    "large upload": (large_upload, Address("10.96.0.1", 80)),
    "connect": (connect, Address("10.96.0.4", 80)),
    "crossing": (crossing, Address("10.96.0.3", 80)),
    "refused": (refused, Address("10.96.0.1", 80)),
    "relayed": (relayed, REDIS),
    "bulk": (bulk, REDIS),
    "passed through": (relayed, Address("127.0.0.1", 0)),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled_at_every_step_nothing_is_left(mesh, harness, kind, monkeypatch):
    exchange, address = KINDS[kind]
    sweep = None
    made = harness.Mesh.__init__

    def with_sweep(m, *args, **more):
        nonlocal sweep
        made(m, *args, **more)
        sweep = Sweep(m, monkeypatch)  # before the listeners hold `handle`

    monkeypatch.setattr(harness.Mesh, "__init__", with_sweep)
    async with mesh(harness.plugins(policies={"trio": UnderTrio()})) as m, http_upstream(
        lambda request: Answer(body=BODIES.get(request.target, b"ok"))
    ) as app, tunnels() as tunnel_port:
        if address.port == 0:
            address = Address("127.0.0.1", app.port)
        else:
            policies = [pb.Policy(type="trio", source="test")] if kind == "crossing" else []
            await m.service(address, tunnel_port if kind == "connect" else app.port, policies=policies)
        capture, pool = m.proxy.captures["outbound"], m.host.outbound_pool
        await trio.testing.wait_all_tasks_blocked()  # all that run for the proxy's life have begun
        rest = harness.tasks()
        steps = 0
        while True:
            sweep.arm(steps)
            stream = await m.dial(address)
            try:
                with trio.fail_after(harness.PATIENCE):
                    await exchange(m, harness.Client(stream))
            except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
                pass  # it was cut, and saw so
            finally:
                stream.socket.close()
            sweep.disarm()
            await m.settled()
            assert pool.idle <= 1
            await m.until(lambda: harness.tasks() == rest + pool.idle)  # the upstream's: one a kept connection
            await m.until(lambda: m.watched == pool.idle)
            assert m.counter("requests_in_flight") == capture.relaying == m.host.pipes.used == 0
            if not sweep.hit:
                break  # it was over before its turn came
            pool.close()
            steps += 1
            assert steps < MOST
        assert steps, "it was never cancelled"
        assert sweep.pipes_at_hit == (kind in SPLICED), "bulk, and only bulk, is cut while it is in a pipe"
