"""Opaque TCP through a whole proxy: bytes as they are, ends as they were meant, and who gets to speak first."""

import hashlib
import os
import random

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address
from tulle_testkit import echo_upstream, http_upstream

pytestmark = pytest.mark.trio

REDIS = Address("10.96.0.2", 6379)  # opaque by default: its server may speak first
OTHER = Address("10.96.0.3", 9999)


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def tunnel(m, app, address=REDIS):
    """Both ends of an opaque connection."""
    stream = await m.dial(address)
    return stream, await app.accept()


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "server"])
async def test_each_side_may_end_first_and_the_other_go_on(mesh, harness, first):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        stream, server = await tunnel(m, app)
        client = harness.Peer(stream)
        one, two = (client, server) if first == "client" else (server, client)
        await one.send(b"all I have to say")
        await one.send_eof()
        assert await two.rest() == (b"all I have to say", True)
        for word in (b"but", b"not", b"all I have"):
            await two.send(word)
            assert await one.exactly(len(word)) == word
        await two.send_eof()
        assert await one.rest() == (b"", True)
        await m.settled()
        client.close()
        (exchange,) = m.seen.ended
        up, down = (17, 16) if first == "client" else (16, 17)
        assert (exchange.protocol, exchange.request_bytes, exchange.response_bytes) == ("tcp", up, down)
        assert (exchange.aborted, exchange.failed, exchange.reason) == (False, False, "")
        assert exchange.backend == "default/app-b:80"


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("when", ["open", "after its own end", "after the other's end"])
async def test_a_reset_is_passed_on_as_a_reset(mesh, harness, who, when):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        stream, server = await tunnel(m, app)
        client = harness.Peer(stream)
        one, two = (client, server) if who == "client" else (server, client)
        await one.send(b"half of it")
        await two.exactly(10)
        if when == "after its own end":
            await one.send_eof()
            await two.stream.receive_some(1)  # b"": the end has arrived
        elif when == "after the other's end":
            await two.send_eof()
            await one.stream.receive_some(1)
        one.reset()
        if when == "after its own end":
            # it may still be told; what it hears is that nobody listens
            with pytest.raises(trio.BrokenResourceError):
                while True:
                    await two.stream.send_all(b"x" * 65536)
        else:
            assert (await two.rest())[1] is False
        await m.settled()
        two.close()
        assert (m.seen.ended[0].aborted, m.seen.ended[0].reason) == (True, "tcp-reset")


async def test_a_connection_that_carries_nothing(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        stream, server = await tunnel(m, app)
        stream.socket.close()
        assert await server.rest() == (b"", True)
        await server.send_eof()
        await m.settled()


# --- how much -------------------------------------------------------------------------------------------------------

SIZE = 64 << 20
PIECE = random.Random(7).randbytes(1 << 20)


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_64_megabytes_arrive_as_they_were_sent_and_memory_stays_flat(mesh, harness, way):
    expected = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        expected.update(PIECE)
    async with mesh() as m, m.raw_upstream() as app, trio.open_nursery() as nursery:
        await m.service(REDIS, app.port)
        stream, server = await tunnel(m, app)
        digests = []
        most = 0

        async def send(peer):
            for _ in range(SIZE // len(PIECE)):
                await peer.stream.send_all(PIECE)
            await peer.send_eof()

        async def receive(peer):
            nonlocal most
            digest = hashlib.sha256()
            while data := await peer.stream.receive_some(65536):
                digest.update(data)
                most = max(most, resident())
            digests.append(digest.hexdigest())

        client = harness.Peer(stream)
        before = resident()
        for one, two in {"up": [(client, server)], "down": [(server, client)],
                         "both": [(client, server), (server, client)]}[way]:
            nursery.start_soon(send, one)
            nursery.start_soon(receive, two)
        await m.until(lambda: len(digests) == (2 if way == "both" else 1))
        assert set(digests) == {expected.hexdigest()}
        assert most - before < 8 << 20, "sender, proxy and receiver together hold a few pieces, whatever the size"
        if way != "both":
            await (server if way == "up" else client).send_eof()
        await m.settled()
        client.close()


async def test_back_pressure_reaches_the_sender(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        stream, _ = await tunnel(m, app)
        sent = 0

        async def pour():
            nonlocal sent
            while True:
                await stream.send_all(PIECE)
                sent += len(PIECE)

        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(pour)
            await trio.testing.wait_all_tasks_blocked()
            assert sent < SIZE, "the server reads nothing, so the client is held back by what sockets buffer"
            nursery.cancel_scope.cancel()


# --- who speaks first, and what it is -------------------------------------------------------------------------------


async def test_a_server_that_speaks_first_on_an_opaque_port_is_heard_at_once(mesh, harness, mock_clock):
    """Time stands still here: were there a wait for the client's first bytes, the banner would never come."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        stream, server = await tunnel(m, app)
        await server.send(b"220 mail.example ESMTP\r\n")
        client = harness.Peer(stream)
        assert await client.until(b"\r\n") == b"220 mail.example ESMTP\r\n"
        await client.send(b"EHLO me\r\n")
        assert await server.until(b"\r\n") == b"EHLO me\r\n"
        client.close()
        server.close()


async def test_a_service_that_is_said_to_be_opaque_is_not_looked_at(mesh, harness, mock_clock):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(OTHER, app.port, protocol=pb.PROTOCOL_OPAQUE)
        stream, server = await tunnel(m, app, OTHER)
        await server.send(b"hello")
        client = harness.Peer(stream)
        assert await client.exactly(5) == b"hello"
        await client.send(b"GET / HTTP/1.1\r\n\r\n")  # not HTTP to us: no Host, and nobody minds
        assert await server.until() == b"GET / HTTP/1.1\r\n\r\n"
        client.close()
        server.close()


async def test_a_service_that_is_said_to_be_http_is_so_on_an_opaque_port_too(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(REDIS, app.port, protocol=pb.PROTOCOL_HTTP1)
        async with m.client(REDIS) as client:
            assert (await client.get()).status == 200
        assert m.seen.ended[0].protocol == "http/1.1"


async def test_silence_becomes_opaque_when_detection_gives_up(mesh, harness, mock_clock):
    async with mesh(detect_seconds=10) as m, m.raw_upstream() as app:
        await m.service(OTHER, app.port)
        stream = await m.dial(OTHER)
        client = harness.Peer(stream)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10.1)
        server = await app.accept()
        await server.send(b"I waited for you")
        assert await client.exactly(16) == b"I waited for you"
        await client.send(b"and I for you")
        assert await server.exactly(13) == b"and I for you"
        assert m.counter("detection_timeouts_total") == 1
        client.close()
        server.close()


async def test_what_was_said_until_detection_gave_up_is_not_lost(mesh, harness, mock_clock):
    async with mesh(detect_seconds=10) as m, m.raw_upstream() as app:
        await m.service(OTHER, app.port)
        client = harness.Peer(await m.dial(OTHER))
        await client.send(b"GE")  # may become GET
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10.1)
        server = await app.accept()
        await client.send(b"NERAL")
        assert await server.exactly(7) == b"GENERAL"
        client.close()
        server.close()


@pytest.mark.parametrize(
    "first",
    [b"\x16\x03\x01\x00\xa5\x01\x00\x00", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"SSH-2.0-x\r\n", b"hello there\r\n",
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"],
    ids=["TLS", "PostgreSQL", "SSH", "text", "HTTP/2"],
)
async def test_what_is_not_http1_is_relayed_with_its_first_bytes(mesh, harness, first):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(OTHER, app.port)
        for cut in (0, 1, len(first) // 2):
            client = harness.Peer(await m.dial(OTHER))
            if cut:
                await client.send(first[:cut])
                await trio.testing.wait_all_tasks_blocked()
            await client.send(first[cut:])
            server = await app.accept()
            assert await server.exactly(len(first)) == first
            client.close()
            server.close()
        await m.settled()
        assert [exchange.protocol for exchange in m.seen.ended] == ["tcp"] * 3


async def test_a_client_that_leaves_while_it_is_looked_at_reaches_nobody(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(OTHER, app.port)
        stream = await m.dial(OTHER)
        stream.socket.close()
        await m.settled()
        assert m.seen.ended == []
        assert m.counter("pool_connects_total") == 0


async def test_a_client_that_says_little_and_ends_is_relayed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(OTHER, app.port)
        client = harness.Peer(await m.dial(OTHER))
        await client.send(b"PO")
        await client.send_eof()
        server = await app.accept()
        assert await server.rest() == (b"PO", True)
        await server.send(b"NG")
        await server.send_eof()
        assert await client.rest() == (b"NG", True)
        client.close()


# --- where to -------------------------------------------------------------------------------------------------------


async def test_connections_are_balanced_and_a_refusal_goes_elsewhere(mesh, harness):
    sock = harness.socket.socket()
    sock.bind(("127.0.0.1", 0))  # refuses
    async with mesh() as m, echo_upstream() as one, echo_upstream() as two:
        await m.service(REDIS, one.port, sock.getsockname()[1], two.port)
        for n in range(12):
            async with await m.dial(REDIS) as stream:
                await stream.send_all(b"%d" % n)
                assert await stream.receive_some(10) == b"%d" % n
        await m.settled()
        assert len(one.received) + len(two.received) == 12
        assert min(len(one.received), len(two.received)) >= 4
        assert sum(exchange.attempts for exchange in m.seen.ended) == 13
    sock.close()


async def test_nobody_there_is_a_reset_and_counted(mesh, harness):
    async with mesh() as m:
        await m.service(REDIS)
        async with await m.dial(REDIS) as stream:
            assert (await harness.Peer(stream).rest())[1] is False
        await m.settled()
        (exchange,) = m.seen.ended
        assert (exchange.reason, exchange.failed, exchange.protocol) == ("no-endpoints", True, "tcp")
        assert m.seen.begun == [exchange], "what is told to end was told to begin"


async def test_an_unknown_destination_is_passed_through_to_where_it_was_going(mesh, harness):
    async with mesh() as m, echo_upstream() as server:
        there = Address("127.0.0.1", server.port)
        async with await m.dial(there) as stream:
            for data in (b"GET / HTTP/1.1\r\n\r\n", b"anything"):
                await stream.send_all(data)
                assert await harness.Peer(stream).exactly(len(data)) == data
        await m.settled()
        (exchange,) = m.seen.ended
        assert (exchange.protocol, exchange.service, exchange.endpoint.address) == ("tcp", None, there)


async def test_an_unknown_destination_is_not_waited_for_by_the_server_either(mesh, harness, mock_clock):
    """Pass-through knows nothing of the protocol, so it does not look at bytes: a server may speak first."""
    async with mesh() as m, m.raw_upstream() as app:
        async with await m.dial(Address("127.0.0.1", app.port)) as stream:
            server = await app.accept()
            await server.send(b"welcome")
            assert await harness.Peer(stream).exactly(7) == b"welcome"


async def test_ipv6_is_passed_through_too(mesh, harness):
    (listener,) = await trio.open_tcp_listeners(0, host="::1")
    there = Address("::1", listener.socket.getsockname()[1])
    async with listener, mesh() as m:
        async with await m.dial(there) as stream:
            server = await listener.accept()
            await server.send_all(b"six")
            assert await stream.receive_some(10) == b"six"
            await server.aclose()
        await m.settled()
        assert m.seen.ended[0].endpoint.address == there


async def test_a_connection_to_our_own_port_is_refused(mesh, harness):
    async with mesh(pod_ips=("10.1.0.9", "fd00::9")) as m:
        ports = m.proxy.ports
        m.proxy.captures["outbound"].own_ports = m.proxy.captures["inbound"].own_ports = set(ports.values())
        loops = [Address(ip, ports[name]) for ip in ("10.1.0.9", "fd00::9", "127.0.0.1", "127.8.8.8", "::1")
                 for name in ("outbound", "inbound")]
        for address in loops:
            async with await m.dial(address) as stream:
                assert (await harness.Peer(stream).rest())[1] is False, address
        assert m.counter("loops_refused_total") == len(loops)
        assert m.seen.ended == []


async def test_another_pods_proxy_port_is_not_ours(mesh, harness):
    async with mesh() as m, echo_upstream() as server:
        m.proxy.captures["outbound"].own_ports = {server.port}
        m.proxy.captures["outbound"]._own_ips = ("10.1.0.9",)
        await m.service(Address("10.1.0.10", server.port), server.port)
        async with await m.dial(Address("10.1.0.10", server.port)) as stream:
            await stream.send_all(b"\x00hello")
            assert await stream.receive_some(10) == b"\x00hello"


# --- inbound --------------------------------------------------------------------------------------------------------


async def test_inbound_reaches_the_application_on_its_port(mesh, harness):
    async with mesh() as m, http_upstream() as app, echo_upstream() as echo:
        async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
            assert (await client.get()).status == 200
        async with await m.dial(Address("127.0.0.1", echo.port), "inbound") as stream:
            await stream.send_all(b"\x00binary")
            assert await stream.receive_some(10) == b"\x00binary"
        await m.settled()
        assert [(e.direction, e.protocol) for e in m.seen.ended] == [("inbound", "http/1.1"), ("inbound", "tcp")]


async def test_an_application_that_does_not_listen_is_said_not_to(mesh, harness):
    sock = harness.socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with mesh() as m:
        async with m.client(Address("127.0.0.1", sock.getsockname()[1]), "inbound") as client:
            answer = await client.get()
            assert (answer.status, answer.reason) == (503, "app-refused-connection")
    sock.close()
