"""Peers that stop in the middle: they are given up after a time without progress."""

import h11
import pytest
import trio
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio


async def test_a_body_that_stops_coming(mesh, harness, mock_clock):
    async with mesh(idle_seconds=60, body_rate=0) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("POST", "/", [])
            await client.send(h11.Data(data=b"half"))
            peer, _ = await app.request(b"half")
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(60.1)
            answer = await client.answer()
            assert (answer.status, answer.reason) == (408, "body-timeout")
            assert (await peer.rest())[1] is False


@pytest.mark.parametrize("known", [True, False])
async def test_a_client_that_does_not_take_its_answer(mesh, harness, mock_clock, known):
    async with mesh(write_seconds=60) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, trio.open_nursery() as nursery:
            await client.ask()
            peer, _ = await app.request()
            size = b"content-length: 500000000" if known else b"connection: close"
            await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % size)
            broken = trio.Event()

            async def pour():
                try:
                    while True:
                        await peer.stream.send_all(b"x" * 65536)
                except trio.BrokenResourceError:
                    broken.set()

            nursery.start_soon(pour)
            await trio.testing.wait_all_tasks_blocked()
            assert m.open == 1
            mock_clock.jump(60.1)
            await broken.wait()
            await m.settled()
        assert (m.seen.ended[0].aborted, m.seen.ended[0].reason) == (True, "write-timeout")


async def test_a_client_that_asks_and_asks_and_never_listens(mesh, harness, mock_clock):
    async with mesh(write_seconds=60) as m, http_upstream(lambda request: Answer(body=b"x" * 60_000)) as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream, trio.open_nursery() as nursery:
            stopped = trio.Event()

            async def ask():
                try:
                    while True:
                        await stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 1000)
                except trio.BrokenResourceError:
                    stopped.set()

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(60.1)
            await stopped.wait()
            await m.settled()


async def test_a_conversation_may_be_silent_on_one_side(mesh, harness, mock_clock):
    """Once the answer has begun, that nothing is sent may mean that it is not the client's turn."""
    async with mesh(idle_seconds=60) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("POST", "/", [])
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
            await client.head()
            for _ in range(3):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(60.1)
            await trio.testing.wait_all_tasks_blocked()
            await client.send(h11.Data(data=b"still here"))
            await peer.until(b"still here")
            await client.send(h11.EndOfMessage())
            await peer.until(b"0\r\n\r\n")
            await peer.send(b"0\r\n\r\n")
            assert (await client.event()).data == b"a"
            assert isinstance(await client.event(), h11.EndOfMessage)


async def test_a_tunnel_may_be_silent_for_as_long_as_it_likes(mesh, harness, mock_clock):
    async with mesh(idle_seconds=60) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            await client.until()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.stream.send_all, b"x" * 20_000_000)  # and nobody takes it
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(601)
                await trio.testing.wait_all_tasks_blocked()
                assert m.open == 1
                got = 0
                while got < 20_000_000:
                    got += len(await stream.receive_some(1 << 20))
