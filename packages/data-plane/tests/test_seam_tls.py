"""The seam where TLS goes in: real certificates, a real handshake, and codecs and relays that notice nothing."""

import hashlib
import random
import ssl
import types

import pytest
import trio
from tulle_plugin_api import Address
from tulle_testkit import Answer, echo_upstream, http_upstream

pytestmark = pytest.mark.trio

SPIFFE = "spiffe://cluster.local/ns/default/sa/app-a"


@pytest.fixture(scope="session")
def tls(tls_stage, tmp_path_factory):
    """Both sides' contexts and the stage."""
    folder = tmp_path_factory.mktemp("tls")
    ca = tls_stage.authority()
    contexts = []
    for purpose, name, uri in ((ssl.PROTOCOL_TLS_SERVER, "server", None), (ssl.PROTOCOL_TLS_CLIENT, "client", SPIFFE)):
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=tls_stage.pem(ca))
        context.load_cert_chain(*tls_stage.issue(ca, folder, name, uri))
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.load_verify_locations(cadata=tls_stage.pem(ca))
    return types.SimpleNamespace(client=contexts[1], stranger=stranger, stage=tls_stage.stage(contexts[0]))


async def dial(m, tls, address, context=None, direction="inbound"):
    stream = trio.SSLStream(
        await m.dial(address, direction), context or tls.client, server_hostname="127.0.0.1", https_compatible=False
    )
    await stream.do_handshake()
    return stream


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_http_through_tls(mesh, harness, tls, direction):
    async with mesh(seams={"stages": {direction: tls.stage}}) as m, http_upstream(lambda r: Answer(body=r.body)) as app:
        there = Address("127.0.0.1", app.port)
        if direction == "outbound":
            await m.service(there, app.port)
        client = harness.Client(await dial(m, tls, there, direction=direction))
        for body in (b"whole", [b"in ", b"pieces"], b"x" * 1_000_000):
            answer = await client.request("POST", "/", body)
            assert answer.body == (body if isinstance(body, bytes) else b"in pieces")
        await client.stream.aclose()
        await m.settled()
        assert {(e.secured, e.source_identity, e.direction) for e in m.seen.ended} == {(True, SPIFFE, direction)}
        assert app.connections == 1
        assert app.requests[0].header("host") == ["app-b"]


async def test_opaque_bytes_through_tls(mesh, harness, tls):
    data = random.Random(3).randbytes(8 << 20)
    async with mesh(seams={"stages": {"inbound": tls.stage}}) as m, echo_upstream() as app:
        stream = await dial(m, tls, Address("127.0.0.1", app.port))
        digest = hashlib.sha256()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"\x00" + data)
            left = len(data) + 1
            while left:
                piece = await stream.receive_some(65536)
                digest.update(piece)
                left -= len(piece)
        assert digest.digest() == hashlib.sha256(b"\x00" + data).digest()
        assert bytes(app.received[0][:100]) == b"\x00" + data[:99], "the application gets plain bytes"
        await stream.aclose()
        await m.settled()
        assert (m.seen.ended[0].secured, m.seen.ended[0].source_identity) == (True, SPIFFE)


async def test_an_upgrade_through_tls(mesh, harness, tls):
    async with mesh(seams={"stages": {"inbound": tls.stage}}) as m, m.raw_upstream() as app:
        stream = await dial(m, tls, Address("127.0.0.1", app.port))
        client = harness.Peer(stream)
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        peer, _ = await app.request()
        await peer.send(b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello")
        await client.until()
        assert await client.exactly(5) == b"hello"
        await client.send(b"and you")
        assert await peer.exactly(7) == b"and you"
        await stream.aclose()
        assert await peer.rest() == (b"", True)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""])
async def test_who_cannot_shake_hands_reaches_nobody(mesh, harness, tls, said):
    async with mesh(seams={"stages": {"inbound": tls.stage}}) as m, http_upstream() as app:
        async with await m.dial(Address("127.0.0.1", app.port), "inbound") as stream:
            if said:
                await stream.send_all(said)
            await stream.send_eof()
            data, _ = await harness.Peer(stream).rest()
            assert b"HTTP" not in data
        await m.settled()
        assert (app.requests, app.connections, m.seen.ended) == ([], 0, [])


async def test_who_proves_nothing_reaches_nobody(mesh, harness, tls):
    async with mesh(seams={"stages": {"inbound": tls.stage}}) as m, http_upstream() as app:
        stream = await dial(m, tls, Address("127.0.0.1", app.port), tls.stranger)  # 1.3 refuses after the handshake
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            while await stream.receive_some(65536):
                pass
        await trio.aclose_forcefully(stream)
        await m.settled()
        assert (app.requests, m.seen.ended) == ([], [])


async def test_a_handshake_that_never_ends_is_given_up(mesh, harness, tls, mock_clock):
    async with mesh(seams={"stages": {"inbound": tls.stage}}, head_seconds=10) as m, http_upstream() as app:
        async with await m.dial(Address("127.0.0.1", app.port), "inbound") as stream:
            await stream.send_all(b"\x16\x03\x01")
            await trio.testing.wait_all_tasks_blocked()
            assert m.open == 1
            mock_clock.jump(10.1)
            await m.settled()


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(1)], ids=repr)
async def test_a_stage_that_breaks_ends_its_connection_and_nothing_else(mesh, harness, error):
    async def broken(plain):
        raise error

    async with mesh(seams={"stages": {"inbound": broken}}) as m, http_upstream() as app:
        there = Address("127.0.0.1", app.port)
        await m.service(there, app.port)
        async with m.client(there) as neighbour, await m.dial(there, "inbound") as stream:
            assert (await harness.Peer(stream).rest())[1] is False
            assert (await neighbour.get()).status == 200
