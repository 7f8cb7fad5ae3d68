"""Bulk through a relay: the kernel moves it, and nobody can tell. The copying way is the reference for the other."""

import errno
import os
import random
import socket

import pytest
import trio
import trio.testing
from tulle_data_plane.driver import Driver
from tulle_data_plane.shell import splice
from tulle_data_plane.shell.channel import KEEP_ALIVE, accepted
from tulle_data_plane.shell.relay import pump
from tulle_data_plane.shell.splice import Pipes
from tulle_plugin_api import Address

pytestmark = pytest.mark.trio

REDIS = Address("10.96.0.2", 6379)
BULK = random.Random(11).randbytes(3 << 20)


@pytest.fixture
def spliced(monkeypatch):
    """Sizes that the kernel was asked to move, as a list that grows."""
    sizes, real = [], os.splice

    def counted(*args, **more):
        sizes.append(args[2])
        return real(*args, **more)

    monkeypatch.setattr(os, "splice", counted)
    return sizes


async def tunnel(m, app):
    """Both ends of an opaque connection, as harness.Peer."""
    stream = await m.dial(REDIS)
    server = await app.accept()
    return type(server)(stream), server


# --- both ways are one ----------------------------------------------------------------------------------------------
#
# A transcript: who does what, in order. "c" is the client, "s" the server. What one sends the other takes, meanwhile.
#   ("c", bytes)          sends          ("c", "end")    ends its side       ("c", "reset")   resets, and all is over
#   ("c", "urgent", b"!") sends a byte as urgent (RFC 9293 section 3.8.5), which no relay passes on
TRANSCRIPTS = {
    "up": [("c", BULK), ("c", "end"), ("s", b"ok"), ("s", "end")],
    "down": [("c", b"get"), ("s", BULK), ("s", "end"), ("c", "end")],
    "there and back": [("c", BULK), ("s", BULK), ("c", BULK), ("c", "end"), ("s", "end")],
    "bulk after the other's end": [("c", b"get"), ("c", "end"), ("s", BULK), ("s", "end")],
    "bulk, talk, bulk": [("c", BULK), ("s", b"got"), ("c", b"more?"), ("s", b"yes"), ("c", BULK), ("c", "end"),
                         ("s", "end")],
    "odd sizes": [("c", BULK[: (1 << 20) + 1]), ("s", BULK[: (1 << 18) - 1]), ("c", BULK[: 1 << 18]), ("s", BULK[:1]),
                  ("c", "end"), ("s", "end")],
    "reset after bulk by the client": [("c", BULK), ("c", "reset")],
    "reset after bulk by the server": [("c", BULK), ("s", b"no"), ("s", "reset")],
    "an urgent byte in bulk": [("c", BULK), ("c", "urgent", b"!"), ("c", BULK), ("c", "end"), ("s", "end")],
}


async def played(transcript, m, app, harness):
    """Both peers' view, and the proxy's: ([what arrived with what kind of end], exchange's account)."""
    client, server = await tunnel(m, app)
    peers = {"c": (client, server), "s": (server, client)}
    arrived = {"c": b"", "s": b""}
    ends = []

    async def receive(name, peer, size):
        arrived[name] += await peer.exactly(size)

    for who, what, *more in transcript:
        one, two = peers[who]
        other = "s" if who == "c" else "c"
        if what == "end":
            await one.send_eof()
            ends.append((other, await two.rest()))
        elif what == "reset":
            one.reset()
            ends.append((other, await two.rest()))
        elif what == "urgent":
            with trio.fail_after(harness.PATIENCE):
                await one.stream.socket.send(more[0], socket.MSG_OOB)
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive, other, two, len(what))
                await one.send(what)
    await m.settled()
    client.close()
    server.close()
    exchange = m.seen.ended[-1]
    account = (exchange.request_bytes, exchange.response_bytes, exchange.aborted, exchange.reason)
    return arrived, ends, account


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_spliced_and_copied_are_the_same(mesh, harness, spliced, name):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        moved = await played(TRANSCRIPTS[name], m, app, harness)
        assert spliced, "nothing was left to the kernel"
        spliced.clear()
        m.host.pipes.close()
        m.host.pipes = Pipes(most=0)
        copied = await played(TRANSCRIPTS[name], m, app, harness)
        assert not spliced
    assert moved == copied
    for who in "cs":
        said = [line[1] for line in TRANSCRIPTS[name] if line[0] == who and isinstance(line[1], bytes)]
        assert copied[0]["s" if who == "c" else "c"] == b"".join(said)


async def test_a_reset_in_the_middle_of_bulk_is_a_reset(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pour, client)
            await server.exactly(len(BULK))
            client.reset()
            data, orderly = await server.rest()
        assert not orderly
        assert spliced
        await m.settled()
        (exchange,) = m.seen.ended
        assert (exchange.aborted, exchange.reason) == (True, "tcp-reset")
        assert exchange.request_bytes >= len(BULK) + len(data), "what arrived was counted"
        assert m.host.pipes.used == 0


async def pour(peer):
    """Send until it breaks."""
    try:
        while True:
            await peer.stream.send_all(BULK)
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass


# --- who holds a pipe -----------------------------------------------------------------------------------------------


async def test_small_messages_cost_no_pipe(mesh, harness, spliced, monkeypatch):
    made = []
    monkeypatch.setattr(os, "pipe2", lambda flags: made.append(flags))
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        for size in (1, 64, 4096, 16000):
            for _ in range(40):
                await client.send(BULK[:size])
                await server.send(await server.exactly(size))
                assert await client.exactly(size) == BULK[:size]
        assert not made
        assert not spliced
        client.close()
        server.close()


async def test_an_idle_relay_holds_no_pipe_whatever_it_has_carried(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        pairs = [await tunnel(m, app) for _ in range(2 * splice.KEPT)]
        for client, server in pairs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, BULK)
                assert await server.exactly(len(BULK)) == BULK
        assert spliced
        await trio.testing.wait_all_tasks_blocked()
        assert m.open == len(pairs)
        assert m.host.pipes.used == 0
        pipes = [name for name in harness.descriptors().values() if name.startswith("pipe:")]
        m.host.pipes.close()
        left = [name for name in harness.descriptors().values() if name.startswith("pipe:")]
        assert len(pipes) - len(left) <= 2 * splice.KEPT
        for pair in pairs:
            for peer in pair:
                peer.close()


async def test_bulk_that_pauses_goes_on_as_bulk(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)

        async def send(size):
            spliced.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, BULK[:size])
                assert await server.exactly(size) == BULK[:size]
            await trio.testing.wait_all_tasks_blocked()
            return len(spliced)

        # a burst may happen to end with a few bytes, and then the next begins by being copied: some do not
        for _ in range(50):
            await send(len(BULK))
            if await send(1 << 16):
                break
        else:
            pytest.fail("each pause made it begin anew")
        client.close()
        server.close()


async def test_a_slow_reader_holds_the_sender_back_and_gets_everything(mesh, harness, spliced):
    async with mesh() as m, m.raw_upstream() as app, trio.open_nursery() as nursery:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        sent = 0

        async def send():
            nonlocal sent
            for _ in range(16):
                await client.stream.send_all(BULK)
                sent += 1
            await client.send_eof()

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert sent < 16, "the server reads nothing, so the client is held back"
        assert m.host.pipes.used == 1, "what is under way is in a pipe"
        assert (await server.rest()) == (BULK * 16, True)
        assert m.host.pipes.used == 0
        await server.send_eof()
        await m.settled()
        client.close()


async def test_there_are_not_more_pipes_than_were_agreed_on_and_the_others_copy(mesh, harness, monkeypatch):
    made, real = [], os.pipe2
    monkeypatch.setattr(os, "pipe2", lambda flags: made.append(flags) or real(flags))
    async with mesh() as m, m.raw_upstream() as app:
        m.host.pipes.close()
        m.host.pipes = Pipes(most=1)
        await m.service(REDIS, app.port)
        (one, slow), (two, fast) = await tunnel(m, app), await tunnel(m, app)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pour, one)
            await m.until(lambda: m.host.pipes.used)
            nursery.start_soon(two.send, BULK)
            assert await fast.exactly(len(BULK)) == BULK
            assert len(made) == 1
            for peer in (one, two, slow, fast):
                peer.close()
            nursery.cancel_scope.cancel()


def no_descriptors(monkeypatch):
    def refuse(flags):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe2", refuse)
    return Pipes()


def none_below_the_ceiling(monkeypatch):
    return Pipes(ceiling=0)


def a_tiny_one(monkeypatch):
    # as for a user over pipe-user-pages-soft (pipe(7)): it may not grow, and begins with two pages
    real = splice.fcntl.fcntl

    def small(fd, command, *args):
        if command == splice.fcntl.F_SETPIPE_SZ:
            raise PermissionError(errno.EPERM, "too many pipes")
        return 8192 if command == splice.fcntl.F_GETPIPE_SZ else real(fd, command, *args)

    monkeypatch.setattr(splice.fcntl, "fcntl", small)
    return Pipes()


@pytest.mark.parametrize("how", [no_descriptors, none_below_the_ceiling, a_tiny_one])
async def test_where_no_pipe_can_be_had_bytes_are_copied(mesh, harness, spliced, monkeypatch, how):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        with monkeypatch.context() as patch:
            m.host.pipes = how(patch)
            opened = harness.descriptors()
            assert m.host.pipes.take() is None
            assert harness.descriptors() == opened, "an attempt leaves nothing open"
            client, server = await tunnel(m, app)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, BULK)
                assert await server.exactly(len(BULK)) == BULK
        assert not spliced
        client.close()
        server.close()


async def test_a_pipe_that_may_not_grow_is_used_as_it_is(monkeypatch):
    real = splice.fcntl.fcntl

    def as_it_is(fd, command, *args):
        if command == splice.fcntl.F_SETPIPE_SZ:
            raise PermissionError(errno.EPERM, "too many pipes")
        return real(fd, command, *args)

    monkeypatch.setattr(splice.fcntl, "fcntl", as_it_is)
    pipes = Pipes()
    pipe = pipes.take()
    if pipe is not None:  # this user may have very many pipes already
        assert splice.LEAST <= pipe.capacity < splice.CAPACITY
        pipes.give_back(pipe, empty=True)
    pipes.close()


async def test_a_pipe_with_something_in_it_is_never_used_again():
    pipes = Pipes()
    pipe = pipes.take()
    os.write(pipe.inlet, b"somebody else's")
    pipes.give_back(pipe, empty=False)
    other = pipes.take()
    with pytest.raises(BlockingIOError):
        os.read(other.outlet, 1)
    pipes.close()
    pipes.give_back(other, empty=True)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(other.outlet)


# --- giving way -----------------------------------------------------------------------------------------------------


async def test_two_fast_peers_leave_others_their_turn(monkeypatch):
    """The source never runs dry and the sink never fills: the driver's third rule."""
    moves = 0

    def endless(source, sink, count, flags):
        nonlocal moves
        moves += 1
        assert moves < 10_000, "nobody else had a turn"
        return 1 << 16

    driver = Driver()
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    peers = [socket.create_connection(listener.getsockname()) for listener in sockets]
    channels = [accepted(driver, *listener.accept()) for listener in sockets]
    pipes = Pipes()
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.serve)
        monkeypatch.setattr(os, "splice", endless)
        with trio.CancelScope() as scope:

            async def other():
                while moves < 3:
                    await driver.turn()
                scope.cancel()

            async with trio.open_nursery() as both:
                # bulk from the beginning
                both.start_soon(driver.run, pump, *channels, bytes(1 << 18), lambda size: None, pipes)
                peers[0].sendall(b"x")
                both.start_soon(driver.run, other)
        nursery.cancel_scope.cancel()
    assert moves >= 3
    assert pipes.used == 0
    pipes.close()
    for channel in channels:
        channel.close()
    for sock in (*peers, *sockets):
        sock.close()
    driver.close()


# --- peers that say nothing -----------------------------------------------------------------------------------------


async def test_the_kernel_is_asked_whether_both_peers_are_still_there(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        await client.send(b"x")
        await server.exactly(1)
        assert m.watched == 2, "the client's connection and the upstream's"
        for fd in m.driver.watches:
            with socket.socket(fileno=os.dup(fd)) as sock:
                for level, option, value in KEEP_ALIVE:
                    assert sock.getsockopt(level, option) == value
        client.close()
        server.close()


@pytest.mark.parametrize("first", ["client", "server"])
async def test_a_half_closed_relay_on_which_nothing_moves_is_ended(mesh, harness, mock_clock, first):
    async with mesh(half_closed_seconds=3600) as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        one, two = (client, server) if first == "client" else (server, client)
        await one.send(b"all I have to say")
        await one.send_eof()
        assert await two.rest() == (b"all I have to say", True)
        await trio.testing.wait_all_tasks_blocked()  # the watch over the other way has begun
        for _ in range(3):
            await two.send(b"wait")  # ... it is not silent
            assert await one.exactly(4) == b"wait"
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(3601)
            await trio.testing.wait_all_tasks_blocked()
        await two.send(b"here")
        assert await one.exactly(4) == b"here"
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(3601)
        assert (await one.rest())[1] is False
        await m.settled()
        client.close()
        server.close()
        (exchange,) = m.seen.ended
        assert (exchange.aborted, exchange.reason) == (True, "half-closed-timeout")


async def test_with_the_bound_far_away_it_stays_open(mesh, harness, mock_clock):
    async with mesh(half_closed_seconds=1e9) as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        await client.send_eof()
        assert await server.rest() == (b"", True)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(86400)
        await server.send(b"at last")
        assert await client.exactly(7) == b"at last"
        await server.send_eof()
        assert await client.rest() == (b"", True)
        await m.settled()
        client.close()


async def test_a_relay_that_is_open_both_ways_may_be_silent(mesh, harness, mock_clock):
    async with mesh(half_closed_seconds=3600) as m, m.raw_upstream() as app:
        await m.service(REDIS, app.port)
        client, server = await tunnel(m, app)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(86400)
        await client.send(b"ping")
        await server.send(await server.exactly(4))
        assert await client.exactly(4) == b"ping"
        client.close()
        server.close()
