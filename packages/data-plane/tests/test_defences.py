"""Defences of the proxy, each with itself taken out: then what it is there against happens, and the test shows it.

A row of docs/acceptance.md's table for each. `on` is the parameter: with it the client, the upstream or the proxy is
safe; without it the same steps end in the harm that the test names. A defence that can be removed without any of these
noticing is no defence.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import AsyncExitStack

import pytest
import trio
from tulle_data_plane.layers import balance, dial
from tulle_data_plane.logic.ejection import Ejections
from tulle_data_plane.shell import capture, output
from tulle_data_plane.shell.channel import TcpChannel
from tulle_data_plane.shell.pool import Pool
from tulle_plugin_api import Address
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FOR_EVER = 1e9  # seconds: a time limit that is switched off
UNLIMITED = 1 << 30

both = pytest.mark.parametrize("on", [True, False], ids=["with it", "without it"])


# --- clients that take their time: without a limit they hold a connection for as long as they like -----------------


async def still_open(m, mock_clock, seconds):
    """Is the only connection still there, so long after?"""
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(seconds)
    for _ in range(3):
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(3)  # a client that was told so is listened to for a moment
    await trio.testing.wait_all_tasks_blocked()
    return m.open == 1


@both
async def test_slow_heads(mesh, harness, mock_clock, on):
    async with mesh(head_seconds=10 if on else FOR_EVER, idle_seconds=FOR_EVER) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\nx: ")
            await m.until(lambda: m.open == 1)
            for _ in range(9):  # as slowly as it likes
                await stream.send_all(b"a")
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(1)
            assert m.open == 1
            assert await still_open(m, mock_clock, 1.1) is not on


@both
async def test_kept_connections_that_nobody_uses(mesh, harness, mock_clock, on):
    async with mesh(idle_seconds=60 if on else FOR_EVER) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            assert (await client.get()).status == 200
            assert await still_open(m, mock_clock, 61) is not on


@both
async def test_slow_bodies(mesh, harness, mock_clock, on):
    async with mesh(body_rate=10 if on else 0, body_grace_seconds=20) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n")
            await app.request()
            for _ in range(3):  # each time within what may be silent
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(6)
                await stream.send_all(b"a")
            assert m.open == 1
            assert await still_open(m, mock_clock, 6) is not on


@both
async def test_clients_that_take_nothing_of_their_answer(mesh, harness, mock_clock, on):
    async with mesh(write_seconds=60 if on else FOR_EVER) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, trio.open_nursery() as nursery:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500000000\r\n\r\n")

            async def pour():
                try:
                    while True:
                        await peer.stream.send_all(b"x" * 65536)
                except trio.BrokenResourceError:
                    pass  # the proxy has given up

            nursery.start_soon(pour)
            assert await still_open(m, mock_clock, 61) is not on
            nursery.cancel_scope.cancel()
            client.reset()


# --- messages that have no end: without a limit the proxy reads, and keeps, all of it ------------------------------

ENDLESS = {
    # the limit's setting -> what is above it, and the reason with which it is refused
    "request_line_bytes": (b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"x" * 20_000), b"uri-too-long"),
    "head_bytes": (b"GET / HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % (b"x" * 70_000), b"head-too-large"),
    "head_fields": (b"GET / HTTP/1.1\r\nhost: a\r\n%b\r\n" % (b"x: y\r\n" * 101), b"too-many-fields"),
    "chunk_extension_bytes": (
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;%b\r\na\r\n0\r\n\r\n" % (b"x" * 5000),
        b"",
    ),
}


@both
@pytest.mark.parametrize("limit", ENDLESS)
async def test_limits_of_what_is_read(mesh, harness, limit, on):
    request, reason = ENDLESS[limit]
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh(**({} if on else {limit: UNLIMITED})))
        app = await stack.enter_async_context(m.raw_upstream())
        await m.service(harness.VIP, app.port)
        client = harness.Peer(await stack.enter_async_context(await m.dial()))
        await client.send(request)
        if on:
            head = await client.until()
            assert head[9:12] in (b"400", b"414", b"431")
            assert b"tulle-reason: " + reason in head
            await client.send_eof()
            assert (await client.rest())[1] is True
            # of a body, what came before may have gone; the upstream must not take it for a whole request
            assert all(b"0\r\n\r\n" not in peer.seen for peer in app.peers)
        else:
            peer, _ = await app.request()
            if limit == "chunk_extension_bytes":
                await peer.until(b"0\r\n\r\n")
            await peer.send(OK)
            assert (await client.until()).startswith(b"HTTP/1.1 200 ")


# --- upstreams that fail --------------------------------------------------------------------------------------------


@both
async def test_half_an_answer_is_never_a_whole_one(mesh, harness, monkeypatch, on):
    """To an HTTP/1.0 client an orderly end completes a body, so it gets a reset."""
    if not on:
        monkeypatch.setattr(TcpChannel, "abort", TcpChannel.close)
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            await client.until(b"half")
            peer.reset()
            looks_whole = (await client.rest())[1]
            assert looks_whole is not on


async def kept(m, app, client):
    """One good exchange; the upstream's end of the connection that is kept afterwards."""
    await client.ask()
    peer, _ = await app.request()
    await peer.send(OK)
    assert (await client.answer()).status == 200
    return peer


@both
async def test_a_kept_connection_that_has_gone_stale_is_not_used(mesh, harness, monkeypatch, on):
    """What the upstream said meanwhile would be taken for the answer to the next request: response splitting."""
    if not on:
        monkeypatch.setattr(TcpChannel, "stale", lambda self: False)
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, trio.open_nursery() as nursery:
            peer = await kept(m, app, client)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
            await trio.testing.wait_all_tasks_blocked()
            await client.ask()
            if on:
                peer, _ = await app.request()
                await peer.send(OK)
            assert (await client.answer()).body == (b"ok" if on else b"poison")
            nursery.cancel_scope.cancel()
        m.host.outbound_pool.close()


@both
async def test_a_request_with_an_effect_is_not_sent_twice(mesh, harness, monkeypatch, on):
    if not on:
        monkeypatch.setattr(dial, "IDEMPOTENT", dial.IDEMPOTENT | {"POST"})
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.ask("POST", "/pay")
            assert b"POST /pay " in await peer.until()
            peer.close()
            if not on:
                peer, again = await app.request()
                assert again.startswith(b"POST /pay "), "the application is asked to pay a second time"
                await peer.send(OK)
            answer = await client.answer()
            assert (answer.status, answer.reason) == ((502, "upstream-reset") if on else (200, ""))


@both
async def test_a_kept_connection_that_ends_just_then_costs_no_request(mesh, harness, monkeypatch, on):
    if not on:
        monkeypatch.setattr(dial, "IDEMPOTENT", frozenset())
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.ask()
            await peer.until()
            peer.close()
            if on:
                peer, _ = await app.request()
                await peer.send(OK)
            assert (await client.answer()).status == (200 if on else 502)


@pytest.fixture
def refusing(harness):
    """A port of loopback on which nobody listens, kept from others."""
    with harness.socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@both
async def test_an_endpoint_that_is_gone_costs_no_request(mesh, harness, monkeypatch, refusing, on):
    if not on:
        monkeypatch.setattr(balance, "MAX_CONNECT_TRIES", 1)
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, refusing, app.port)
        async with m.client() as client:
            assert (await client.get()).status == (200 if on else 503)


@both
async def test_an_endpoint_that_is_gone_is_left_alone(mesh, harness, monkeypatch, mock_clock, refusing, on):
    if not on:
        monkeypatch.setattr(Ejections, "failed", lambda self, endpoint, now, **more: None)
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, refusing, app.port)
        async with m.client() as client:
            for _ in range(10):
                assert (await client.get()).status == 200
        tries = sum(exchange.attempts for exchange in m.seen.ended)
        assert tries == (11 if on else 20), "without it each round of the balancer finds out anew"


@both
async def test_an_application_cannot_have_its_request_sent_elsewhere(harness, mesh, monkeypatch, on):
    """It has handled the request, and passes on (or forges) the word that says that nobody has."""
    if not on:
        monkeypatch.setattr("tulle_data_plane.stack.as_app", lambda next: next)

    def forged(request):
        return Answer(503, (("tulle-reason", "app-refused-connection"),))

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(mesh(pod_ip="10.1.0.8"))
        client_side = await stack.enter_async_context(mesh())
        liar = await stack.enter_async_context(http_upstream(forged))
        other = await stack.enter_async_context(http_upstream())
        server.destinations["127.0.0.1"] = Address("127.0.0.1", liar.port)
        await client_side.service(harness.VIP, server.proxy.ports["inbound"], other.port, meshed=True)
        async with client_side.client() as client:
            status = (await client.request("POST", "/", b"pay")).status
        client_side.host.outbound_pool.close()  # what is kept would be waited for
        server.host.inbound_pool.close()
        assert len(liar.requests) == 1
        assert (status, len(other.requests)) == ((503, 0) if on else (200, 1))


# --- the proxy itself -----------------------------------------------------------------------------------------------


@both
async def test_a_connection_to_the_proxy_itself_goes_nowhere(mesh, harness, monkeypatch, on):
    """Without the guard it calls itself until something runs out; here, until the test lets it call somebody else."""
    if not on:
        monkeypatch.setattr(capture, "is_loop", lambda *places: False)
    async with mesh() as m, http_upstream() as app:
        ours = Address("127.0.0.1", m.proxy.ports["outbound"])
        rounds = []

        def find(sock):
            rounds.append(sock)
            return ours if len(rounds) < 5 else Address("127.0.0.1", app.port)

        monkeypatch.setattr(m.proxy.captures["outbound"], "_find_destination", find)
        monkeypatch.setattr(m.proxy.captures["outbound"], "own_ports", (ours.port,))
        async with await m.dial(ours) as stream:
            client = harness.Peer(stream)
            with contextlib.suppress(trio.BrokenResourceError):  # it may be refused as early as that
                await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            got, _ = await client.rest()
        assert (len(rounds), got.startswith(b"HTTP/1.1 200")) == ((1, False) if on else (5, True))


@both
async def test_kept_connections_have_a_number(mesh, harness, on):
    """One endpoint's kept connections are bounded: what a burst has opened is not kept for a minute."""
    async with mesh() as m, m.raw_upstream() as app:
        pool = m.host.outbound_pool = Pool(m.driver, 10.0, 50.0, max_idle=2 if on else UNLIMITED)
        address = Address("127.0.0.1", app.port)
        for channel in [await m.driver.run(pool.connect, address) for _ in range(5)]:
            pool.give_back(channel)
        assert pool.idle == (2 if on else 5)
        pool.close()


@both
async def test_a_log_that_nobody_reads_takes_no_memory(monkeypatch, on):
    if not on:
        monkeypatch.setattr(output, "MAX_QUEUED", UNLIMITED)
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        lines = output.Lines(writer)
        for _ in range(3000):
            lines.write(b"x" * 1000)
        lines.flush()
        size = sum(map(len, lines._queue))
        assert (size < 2 << 20, lines.dropped > 0) == (on, on)
    finally:
        os.close(reader)
        os.close(writer)
