"""The proxy's life: drain, cancellation, ports in use, descriptors that run out."""

import errno
import logging
import socket
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from tulle_data_plane.driver import Driver
from tulle_data_plane.shell import listener
from tulle_plugin_api import Address
from tulle_testkit import http_upstream

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
REDIS = Address("10.96.0.2", 6379)


@asynccontextmanager
async def driving():
    """A driver, and a nursery for what it accepts."""
    driver = Driver()
    async with trio.open_nursery() as outer:
        await outer.start(driver.serve)
        async with trio.open_nursery() as nursery:
            yield driver, nursery
        outer.cancel_scope.cancel()
    assert not driver.watches
    driver.close()


async def passes(clock, seconds, step=0.05):
    """Let time pass in small steps, everything running in between."""
    for _ in range(round(seconds / step)):
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(step)
    await trio.testing.wait_all_tasks_blocked()


# --- drain -----------------------------------------------------------------------------------------------------------


async def test_what_is_in_flight_is_finished(mesh, harness, mock_clock):
    async with mesh(drain_seconds=100) as m, m.raw_upstream() as app, m.admin() as admin:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            m.proxy.shut_down()
            await passes(mock_clock, 5)
            assert m.open == 1
            answer = await admin.get("/ready")
            assert (answer.status, answer.body) == (503, b"draining\n"), "the admin port outlives the drain"
            assert (await admin.get("/live")).status == 200  # it keeps its own connections: no close
            await peer.send(OK)
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"ok", "close")
            assert await client.ended()
        await passes(mock_clock, 0.2)


async def test_new_connections_are_served_while_there_is_something_in_flight(mesh, harness, mock_clock):
    async with mesh(drain_seconds=100) as m, m.raw_upstream() as slow, http_upstream() as app:
        await m.service(harness.VIP, slow.port)
        other = Address("10.96.0.3", 80)
        await m.service(other, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await slow.request()
            m.proxy.shut_down()
            await passes(mock_clock, 5)
            async with m.client(other) as late:  # endpoints are told late that we are going
                answer = await late.get()
                assert (answer.status, answer.headers["connection"]) == (200, "close")
                assert await late.ended()
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"
        await passes(mock_clock, 0.2)


async def test_idle_connections_are_closed_in_order_and_not_waited_for(mesh, harness, mock_clock):
    async with mesh(drain_seconds=100) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, m.client() as silent:
            assert (await client.get()).status == 200
            await trio.testing.wait_all_tasks_blocked()
            m.proxy.shut_down()
            await passes(mock_clock, 2)
            assert await client.ended(), "an orderly end"
            assert m.open == 0
            await silent.ended()


async def test_a_kept_connection_is_told_at_its_next_request(mesh, harness, mock_clock):
    async with mesh(drain_seconds=100) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            assert "connection" not in (await client.get()).headers
            m.proxy.shut_down()
            assert (await client.get()).headers["connection"] == "close"
            assert await client.ended()
        await passes(mock_clock, 0.2)


async def test_relayed_connections_are_waited_for(mesh, harness, mock_clock):
    async with mesh(drain_seconds=100) as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client = harness.Peer(await m.dial(REDIS))
        server = await app.accept()
        m.proxy.shut_down()
        await passes(mock_clock, 20)
        await server.send(b"still here")
        assert await client.exactly(10) == b"still here"
        client.close()
        server.close()
        await passes(mock_clock, 0.2)


async def test_at_the_drains_end_everything_is_cut_visibly(mesh, harness, mock_clock):
    async with mesh(drain_seconds=10) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        await m.service(REDIS, app.port)
        async with m.client() as waiting, m.client() as sending, m.client() as receiving:
            relayed = harness.Peer(await m.dial(REDIS))
            server = await app.accept()
            await waiting.ask()
            peers = [(await app.request())[0]]
            await sending.send_head("POST", "/", [])
            await sending.send(h11.Data(data=b"half"))
            peers.append((await app.request(b"half"))[0])
            await receiving.ask()
            peers.append((await app.request())[0])
            await peers[2].send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            await receiving.head()
            m.proxy.shut_down()
            await passes(mock_clock, 9.9)
            assert m.open == 4
            mock_clock.jump(0.2)
            for peer in (*peers, server, relayed):
                assert (await peer.rest())[1] is False
            for client in (waiting, sending, receiving):
                assert (await harness.Peer(client.stream).rest())[1] is False
            relayed.close()


# --- cancellation, and what cannot be started ------------------------------------------------------------------------


async def test_a_proxy_that_is_cancelled_leaves_nothing(harness):
    opened, tasks = harness.descriptors(), harness.tasks()
    async with trio.open_nursery() as nursery:
        m = harness.Mesh(harness.settings(), harness.plugins())
        await nursery.start(m.proxy.run)
        async with m.raw_upstream() as app:
            await m.service(harness.VIP, app.port)
            await m.service(REDIS, app.port)
            async with m.client() as one, m.client() as two, await m.dial(REDIS), m.client() as idle:
                await app.accept()
                await one.ask()
                await app.request()
                await two.send_head("POST", "/", [])
                await two.send(h11.Data(data=b"half"))
                await app.request(b"half")
                assert m.open == 4
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await harness.until(lambda: not m.open)
                    assert await idle.ended()
    assert not m.driver.watches
    await harness.until(lambda: harness.tasks() == tasks)
    await harness.until(lambda: not (harness.descriptors().items() - opened.items()))


@pytest.mark.parametrize("name", ["outbound", "inbound", "admin"])
async def test_a_port_in_use_is_named_and_nothing_is_left(harness, name):
    opened = harness.descriptors()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        m = harness.Mesh(harness.settings(**{f"{name}_port": port}), harness.plugins())
        with pytest.raises(OSError, match=f"port {port} cannot be bound .*in use"):
            await m.proxy.run()
    await harness.until(lambda: not (harness.descriptors().items() - opened.items()))


# --- descriptors that run out -----------------------------------------------------------------------------------------


class Exhausted:
    """A listener on which connections wait that cannot be accepted."""

    def __init__(self, error, times=10**9):
        self.readable, self.writer = socket.socketpair()
        self.writer.send(b"x")
        self.error, self.left, self.calls = error, times, 0

    def fileno(self):
        return self.readable.fileno()

    def accept(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OSError(self.error, "no")
        self.readable.recv(1)
        self.left = 10**9
        self.error = errno.EAGAIN
        return self.readable, ("127.0.0.1", 1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.readable.close()
        self.writer.close()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_without_descriptors_accepting_backs_off_and_says_so_once(error, autojump_clock, caplog):
    exhausted = Exhausted(error)
    async with driving() as (driver, nursery):
        nursery.start_soon(listener.accept_forever, driver, exhausted, None)
        await trio.sleep(600)
        nursery.cancel_scope.cancel()
    assert 600 <= exhausted.calls < 620, "about once a second"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "limit of open files" in caplog.records[0].fields["hint"]


async def test_with_descriptors_again_accepting_goes_on_at_once(autojump_clock):
    exhausted = Exhausted(errno.EMFILE, times=30)
    got = trio.Event()

    async def handle(sock, peer):
        got.set()

    async with driving() as (driver, nursery):
        nursery.start_soon(listener.accept_forever, driver, exhausted, handle)
        await got.wait()
        nursery.cancel_scope.cancel()
    assert exhausted.calls >= 31


async def test_a_client_that_gave_up_in_the_queue_costs_nothing(autojump_clock):
    exhausted = Exhausted(errno.ECONNABORTED, times=5)
    got, began = trio.Event(), trio.current_time()

    async def handle(sock, peer):
        got.set()

    async with driving() as (driver, nursery):
        nursery.start_soon(listener.accept_forever, driver, exhausted, handle)
        await got.wait()
        assert trio.current_time() == began, "there is nothing to wait for"
        nursery.cancel_scope.cancel()
    assert exhausted.calls >= 6


async def test_traffic_leaves_descriptors_for_the_admin_port_and_blames_no_endpoint(mesh, harness, autojump_clock):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, app.port)
        async with m.client() as client:
            assert (await client.get()).status == 200
            m.host.outbound_pool.forget(Address("127.0.0.1", app.port))  # the next request needs a new connection
            await harness.until(lambda: app.connections == 1)
            ceiling, m.host.outbound_pool._ceiling = m.host.outbound_pool._ceiling, 0  # none is left for traffic
            answer = await client.get()
            assert (answer.status, answer.reason) == (503, "out-of-descriptors")
            assert m.seen.ended[-1].attempts == 1, "no other endpoint would fare better"
            async with m.admin() as admin:
                assert (await admin.get("/live")).status == 200
            m.host.outbound_pool._ceiling = ceiling
            answer = await client.get()
            assert answer.status == 200
            assert m.seen.ended[-1].attempts == 1, "nobody was ejected"


async def test_clients_wait_in_the_queue_while_traffic_has_no_descriptors_left(autojump_clock):
    got = []

    async def handle(sock, peer):
        got.append(sock)

    async with driving() as (driver, nursery):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        clients = [socket.create_connection(sock.getsockname()) for _ in range(6)]
        fillers = [socket.socket() for _ in range(3)]
        ceiling = fillers[-1].fileno() + 1  # three more: then, what is accepted has a number too high
        for filler in fillers:
            filler.close()
        nursery.start_soon(listener.accept_forever, driver, sock, handle, ceiling)
        await trio.sleep(30)
        assert len(got) == 4, "three, and the one that showed that there are no more"
        for one in got[:3]:
            one.close()
        await trio.sleep(3)
        assert len(got) == 6
        nursery.cancel_scope.cancel()
    for one in (*got, *clients):
        one.close()
