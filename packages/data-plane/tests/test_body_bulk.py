"""Large bodies of known length: the kernel moves them, and nobody can tell. The copying way is the reference.

Both messages keep their bounds: not a byte of what follows a body goes with it, and half of one is never a whole one.
"""

import contextlib
import errno
import os
import random
import socket

import pytest
import trio
import trio.testing
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.deadlines import TICK
from tulle_data_plane.shell import bulk
from tulle_data_plane.shell.channel import TcpChannel
from tulle_data_plane.shell.request_body import RequestBody
from tulle_data_plane.shell.splice import Pipes
from tulle_plugin_api import Config, Policy, Position, WrappedBody, pass_by

pytestmark = pytest.mark.trio

BODY = random.Random(3).randbytes(3 << 20)
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(BODY)
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture
def spliced(monkeypatch):
    """Sizes that the kernel was asked to move, as a list that grows."""
    sizes, real = [], os.splice

    def counted(*args, **more):
        sizes.append(args[2])
        return real(*args, **more)

    monkeypatch.setattr(os, "splice", counted)
    return sizes


class Nothing(Config):
    """No settings."""


class Wrap(Policy):
    """Puts `kind` around the bodies of both messages."""

    config, position, uses_trio = Nothing, Position.REQUEST, False

    def __init__(self, kind):
        self.kind = kind

    def build(self, config, next, runtime):
        async def handler(exchange):
            if not isinstance(exchange.body, bytes):
                exchange.body = self.kind(exchange.body)
            response = await next(exchange)
            if not isinstance(response.body, bytes):
                response.body = self.kind(response.body)
            return response

        return handler


async def both_at_once(one, data, other, size):
    """`one` sends, `other` takes: what it took."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.send, data)
        return await other.exactly(size)


async def exchanged(m, harness, app):
    """A large request and a large answer, and two small requests behind: what both sides got, and what was told."""
    async with await m.dial() as stream:
        client = harness.Peer(stream)
        peer = None

        async def ask():
            await client.send(POST + BODY + GET + GET)  # pipelined: the next follow the body at once

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            peer = await app.accept()
            head = await peer.until()
            got = await peer.exactly(len(BODY))
        answer = OK % len(BODY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, answer + BODY)
            returned = await client.exactly(len(answer) + len(BODY))
        small = []
        for _ in range(2):
            small.append(await peer.until())
            await peer.send(OK % 2 + b"ok")
            small.append(await client.until(b"ok"))
        await client.send_eof()
        end = await client.rest()
    await m.settled()
    told = [(e.status, e.request_bytes, e.response_bytes, e.aborted, e.reason) for e in m.seen.ended]
    m.seen.ended.clear()
    connects = m.counter("pool_connects_total")
    m.host.outbound_pool.close()
    return head, got, returned, small, end, told, connects


async def test_spliced_and_copied_are_the_same(mesh, harness, spliced, monkeypatch):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        moved = await exchanged(m, harness, app)
        assert spliced, "nothing was left to the kernel"
        spliced.clear()
    monkeypatch.setattr(bulk, "LEAST", 1 << 60)
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        copied = await exchanged(m, harness, app)
        assert not spliced
    assert moved == copied
    _, got, returned, _, _, told, connects = copied
    assert got == BODY
    assert returned.endswith(b"\r\n\r\n" + BODY)
    assert told == [(200, len(BODY), len(BODY), False, ""), (200, 0, 2, False, ""), (200, 0, 2, False, "")]
    assert connects == 1, "the upstream's connection was kept"


@pytest.mark.parametrize("way", ["no pipes", "chunked", "until close"])
async def test_what_is_copied(mesh, harness, spliced, way):
    start = {
        "no pipes": OK % len(BODY),
        "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(BODY),
        "until close": b"HTTP/1.1 200 OK\r\n\r\n",
    }[way]
    async with mesh() as m, m.raw_upstream() as app:
        if way == "no pipes":
            m.host.pipes._most = 0
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            async with trio.open_nursery() as nursery:

                async def answer():
                    await peer.send(start + BODY + (b"\r\n0\r\n\r\n" if way == "chunked" else b""))
                    peer.close()

                nursery.start_soon(answer)
                assert (await client.answer()).body == BODY
    assert not spliced


class Looks(WrappedBody):
    """Sees every byte."""

    seen = 0

    async def read(self):
        piece = await self.inner.read()
        Looks.seen += len(piece)
        return piece


class LooksAway(Looks):
    """Does not mind."""

    async def pass_by(self, move):
        await pass_by(self.inner, move)


@pytest.mark.parametrize("kind", [Looks, LooksAway])
async def test_a_policy_that_looks_at_bodies_sees_all_of_them(mesh, harness, spliced, monkeypatch, kind):
    monkeypatch.setattr(Looks, "seen", 0)
    async with mesh(harness.plugins(policies={"wrap": Wrap(kind)})) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=[pb.Policy(type="wrap", source="test")])
        _, got, returned, *_ = await exchanged(m, harness, app)
        assert (got, returned[-len(BODY) :]) == (BODY, BODY)
    assert bool(spliced) == (kind is LooksAway)
    assert (Looks.seen == 2 * len(BODY)) == (kind is Looks)


async def test_what_follows_an_answer_poisons_nothing(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.send, OK % len(BODY) + BODY + OK % 6 + b"poison")
                assert (await client.answer()).body == BODY
            assert spliced
            await client.ask()
            second, _ = await app.request()  # on a connection of its own
            await second.send(OK % 2 + b"ok")
            assert (await client.answer()).body == b"ok"


# --- what breaks off ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_half_an_answer_is_a_reset(mesh, harness, spliced, end):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(GET)
            peer, _ = await app.request()
            await both_at_once(peer, OK % (2 * len(BODY)) + BODY, client, len(BODY))
            assert spliced
            peer.close() if end == "close" else peer.reset()
            assert (await client.rest())[1] is False
        await m.settled()
        (exchange,) = m.seen.ended
        assert (exchange.aborted, exchange.reason) == (True, "upstream-reset")
        assert exchange.response_bytes == len(BODY) if end == "close" else exchange.response_bytes > 0
        assert m.host.pipes.used == m.host.outbound_pool.idle == 0


async def half_of_a_request(client, app):
    """The client sends a head and 2 MiB of its body, and no more; the server's end, which has got them."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, POST + BODY[: 2 << 20])
        peer = await app.accept()
        await peer.until()
        await peer.exactly(2 << 20)
    return peer


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_half_a_request_is_a_reset(mesh, harness, spliced, end):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            peer = await half_of_a_request(client, app)
            assert spliced
            if end == "reset":
                client.reset()
            else:
                await client.send_eof()
            assert (await peer.rest())[1] is False, "half a request must never look like a whole one"
            if end == "close":
                assert (await client.until()).startswith(b"HTTP/1.1 400 ")
        await m.settled()
        assert m.seen.ended[0].reason == "client-reset"
        assert m.host.pipes.used == 0


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_client_that_leaves_its_answer_gives_the_upstream_up(mesh, harness, spliced, end):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(GET)
            peer, _ = await app.request()
            async with trio.open_nursery() as nursery:

                async def pour():
                    with pytest.raises(trio.BrokenResourceError):
                        await peer.stream.send_all(OK % (1 << 30))
                        while True:
                            await peer.stream.send_all(BODY)

                nursery.start_soon(pour)
                await client.exactly(1 << 20)
                client.reset() if end == "reset" else client.close()
        await m.settled()
        assert spliced
        assert m.seen.ended[0].aborted
        assert m.host.pipes.used == 0


async def test_an_early_answer_ends_the_upload(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            async with trio.open_nursery() as nursery:

                async def pour():
                    with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
                        await stream.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (1 << 30))
                        while True:
                            await stream.send_all(BODY)

                nursery.start_soon(pour)
                peer = await app.accept()
                await peer.exactly(1 << 20)
                await peer.send(b"HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\nno")
                assert (await client.until(b"\r\n\r\nno")).startswith(b"HTTP/1.1 413 ")
                client.reset()
        await m.settled()
        assert spliced
        assert m.host.pipes.used == m.host.outbound_pool.idle == 0


# --- much at a time -------------------------------------------------------------------------------------------------


@pytest.fixture
def low_water(monkeypatch):
    """The bytes that sockets were told to be readable with, as a list that grows; each is 1 when nobody waits."""
    asked, real = [], TcpChannel.low_water

    def noted(channel, size):
        asked.append(size)
        real(channel, size)
        if not channel.watch.closed:
            assert channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == size

    monkeypatch.setattr(TcpChannel, "low_water", noted)
    return asked


async def test_what_came_before_a_pause_arrives_and_so_does_what_follows_in_small_pieces(mesh, harness, low_water):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            peer = await half_of_a_request(client, app)
            before = len(low_water)
            for at in range(2 << 20, len(BODY), 1 << 16):
                piece = BODY[at : at + (1 << 16)]
                await client.send(piece)
                assert await peer.exactly(len(piece)) == piece
            assert bulk.MUCH in low_water, "nobody waited for much"
            assert sum(size > 1 for size in low_water[before:]) <= 1, "a body that has paused is not waited for again"
            for _ in range(2):
                await peer.send(OK % 2 + b"ok")
                await client.until(b"ok")
                await client.send(GET)  # small, on the same connection
                await peer.until()


async def test_neither_a_bodys_end_nor_its_senders_is_waited_past(mesh, harness, low_water, monkeypatch):
    monkeypatch.setattr(bulk, "PATIENCE", 1e6)
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        await exchanged(m, harness, app)
        async with await m.dial() as stream, trio.open_nursery() as nursery:
            client = harness.Peer(stream)

            async def most_of_it():
                await client.send(POST + BODY[:-1000])
                await client.send_eof()

            nursery.start_soon(most_of_it)
            peer = await app.accept()
            assert (await peer.rest())[1] is False


async def test_what_was_taken_and_is_lost_counts_as_read(mesh, harness, monkeypatch):
    """Else a policy that keeps what has been read would believe that it has everything, and send it again."""
    taken, real = [], os.splice
    pieces, really_read = [], RequestBody.read

    async def read(body):
        pieces.append(await really_read(body))
        return pieces[-1]

    def breaks(source, sink, size, **more):
        if taken:
            raise BrokenPipeError(errno.EPIPE, "broken")
        taken.append(real(source, sink, size, **more))
        return taken[-1]

    monkeypatch.setattr(os, "splice", breaks)
    monkeypatch.setattr(RequestBody, "read", read)
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream, trio.open_nursery() as nursery:

            async def pour():
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(POST + BODY)

            nursery.start_soon(pour)
            peer = await app.accept()
            await peer.until()
            await m.until(lambda: taken)
            peer.reset()
        await m.settled()
        assert m.seen.ended[0].request_bytes == sum(map(len, pieces)) + sum(taken)


# --- time -----------------------------------------------------------------------------------------------------------


async def test_a_client_that_takes_nothing_more(mesh, harness, mock_clock, spliced):
    async with mesh(write_seconds=20) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream, trio.open_nursery() as nursery:
            client = harness.Peer(stream)
            await client.send(GET)
            peer, _ = await app.request()

            async def pour():
                with pytest.raises(trio.BrokenResourceError):
                    await peer.stream.send_all(OK % (1 << 30))
                    while True:
                        await peer.stream.send_all(BODY)

            nursery.start_soon(pour)
            await client.exactly(1 << 20)
            await m.until(lambda: m.host.pipes.used == 1)
            for _ in range(20):  # what was on its way may still move at first
                await trio.testing.wait_all_tasks_blocked()
                if not m.open:
                    break
                mock_clock.jump(25)
            await m.settled()
        assert spliced
        assert (m.seen.ended[0].aborted, m.seen.ended[0].reason) == (True, "write-timeout")
        assert m.host.pipes.used == 0


@pytest.mark.parametrize(("given", "seconds"), [({"body_rate": 0, "idle_seconds": 20}, 20),
                                                ({"body_rate": 1 << 20, "body_grace_seconds": 18}, 20)])
async def test_a_client_that_sends_nothing_more(mesh, harness, mock_clock, spliced, given, seconds):
    async with mesh(**given) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            async with trio.open_nursery() as nursery:

                async def time_passes():  # its last bytes before the pause are fewer than were waited for
                    while True:
                        await trio.testing.wait_all_tasks_blocked()
                        mock_clock.jump(TICK)

                nursery.start_soon(time_passes)
                peer = await half_of_a_request(client, app)
                nursery.cancel_scope.cancel()
            assert spliced
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(2 * TICK)  # it has paused
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(seconds - 1)
            await trio.testing.wait_all_tasks_blocked()
            assert m.open == 1
            mock_clock.jump(1.5)
            head = await client.until()
            assert head.startswith(b"HTTP/1.1 408 ")
            assert b"tulle-reason: body-timeout\r\n" in head
            assert (await peer.rest())[1] is False


async def test_pipes_are_shared_and_given_back(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app:
        m.host.pipes._most = 1
        await m.service(harness.VIP, app.port)
        await exchanged(m, harness, app)
        assert isinstance(m.host.pipes, Pipes)
        assert m.host.pipes.used == 0
        assert spliced
