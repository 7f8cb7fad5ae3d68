"""A turn of the driver, as channels see it: received for all, stepped all, sent for all; and nothing is lost between.

Real socket pairs, and `TcpChannel` over them; where the order of system calls matters, a socket that notes them.
"""

from __future__ import annotations

import errno
import socket

import pytest
import trio
import trio.testing
from tulle_data_plane.driver import Driver
from tulle_data_plane.errors import SlowReader
from tulle_data_plane.shell.channel import AT_ONCE, TcpChannel, Untaken
from tulle_data_plane.shell.descriptors import ceiling
from tulle_data_plane.shell.splice import Pipes, splice_some
from tulle_data_plane.strands import RECEIVE_SIZE
from tulle_plugin_api import Address

pytestmark = pytest.mark.trio

PEER = Address("10.9.0.1", 8080)


@pytest.fixture
async def driver():
    async with trio.open_nursery() as nursery:
        made = Driver()
        await nursery.start(made.serve)
        yield made
        nursery.cancel_scope.cancel()
    assert not made.outbox
    assert not made.watches, "a descriptor is still watched"
    made.close()


class Noted:
    """A socket that notes what is called, in `calls`."""

    def __init__(self, sock: socket.socket, name: str, calls: list[str]) -> None:
        self._sock, self._name, self._calls = sock, name, calls

    def __getattr__(self, attribute):
        return getattr(self._sock, attribute)

    def recv(self, *arguments):
        self._calls.append(f"recv {self._name}")
        return self._sock.recv(*arguments)

    def send(self, *arguments):
        self._calls.append(f"send {self._name}")
        return self._sock.send(*arguments)


def pair(driver, name: str = "", calls: list[str] | None = None) -> tuple[TcpChannel, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return TcpChannel(driver, near if calls is None else Noted(near, name, calls), PEER), far


async def step() -> None:
    """Let the driver do all that it has to do now."""
    await trio.testing.wait_all_tasks_blocked()


async def test_receives_for_all_then_steps_all_then_sends_for_all(driver):
    calls: list[str] = []
    pairs = {name: pair(driver, name, calls) for name in "abc"}

    async def serve(name: str, channel: TcpChannel) -> None:
        data = await channel.recv()
        calls.append(f"step {name}")
        assert await channel.ask(b"echo " + data) == b""
        channel.close()

    children = [driver.beside(serve, name, channel) for name, (channel, _) in pairs.items()]
    await step()  # all wait
    calls.clear()
    for _, far in pairs.values():
        far.send(b"hello")  # all three in one epoll wait: there is no checkpoint in between
    await step()
    order = [call.split()[0] for call in calls]
    assert order == ["recv"] * 3 + ["step"] * 3 + ["send"] * 3, calls
    assert [far.recv(100) for _, far in pairs.values()] == [b"echo hello"] * 3
    for _, far in pairs.values():
        far.close()
    await step()
    assert all(child.done.is_set and child.error is None for child in children)


async def test_what_can_wait_comes_after_the_sends(driver):
    calls: list[str] = []
    channel, far = pair(driver, "a", calls)

    async def serve():
        driver.after(lambda: calls.append("after"))
        await channel.ask(b"answer")

    child = driver.beside(serve)
    await step()
    assert calls == ["send a", "after"]
    driver.after(lambda: calls.append("outside of a turn: at once"))
    assert calls[2:] == ["outside of a turn: at once"]
    far.close()
    await step()
    assert child.done.is_set
    channel.close()


async def test_one_question_and_answer_cost_one_call_each(driver):
    calls: list[str] = []
    channel, far = pair(driver, "a", calls)

    async def strand():
        return [await channel.ask(b"one"), await channel.ask(b"two")]

    child_result: list[list[bytes]] = []

    async def run():
        child_result.append(await driver.run(strand))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        for question in (b"one", b"two"):
            await step()
            assert far.recv(100) == question
            far.send(b"re: " + question)
    assert child_result == [[b"re: one", b"re: two"]]
    assert calls == ["send a", "recv a"] * 2
    channel.close()
    far.close()


async def test_an_end_that_came_with_the_last_bytes_is_not_lost(driver):
    channel, far = pair(driver)
    got: list[bytes] = []

    async def strand():
        got.append(await channel.ask(b"?"))
        got.append(await channel.recv())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run, strand)
        await step()
        assert far.recv(100) == b"?"
        far.send(b"last")
        far.close()
    assert got == [b"last", b""]
    channel.close()


async def test_what_was_there_before_is_read_though_no_edge_comes(driver):
    channel, far = pair(driver)
    far.send(b"early")
    while not channel.watch.readable:
        await trio.lowlevel.checkpoint()
    assert await driver.run(channel.ask, b"?") == b"early"
    assert far.recv(100) == b"?"
    channel.close()
    far.close()


@pytest.mark.parametrize("size", [RECEIVE_SIZE - 1, RECEIVE_SIZE, RECEIVE_SIZE + 1, 3 * RECEIVE_SIZE])
async def test_more_than_one_read_comes_whole(driver, size):
    channel, far = pair(driver)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    got = bytearray()

    async def strand():
        got.extend(await channel.ask(b"?"))
        while len(got) < size:
            got.extend(await channel.recv())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run, strand)
        await step()
        assert far.send(bytes(range(256)) * (size // 256) + b"x" * (size % 256)) == size
    assert bytes(got) == bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    channel.close()
    far.close()


# --- sending does not go as it nearly always does ---------------------------------------------------------------


def fill(channel: TcpChannel) -> int:
    """Send until the socket takes no more; how many bytes it took."""
    total = 0
    try:
        while True:
            total += channel.socket.send(b"f" * 4096)
    except BlockingIOError:
        return total


async def drain(far: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            data += far.recv(65536)
        except BlockingIOError:
            await step()
    return data


@pytest.mark.parametrize("question", [b"q" * 1000, b"Q" * (AT_ONCE + 1), b"z" * 400_000])
async def test_what_the_socket_does_not_take_is_sent_when_there_is_room(driver, question):
    channel, far = pair(driver)
    full = fill(channel)
    answers: list[bytes] = []

    async def strand():
        answers.append(await channel.ask(question))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run, strand)
        await step()
        assert await drain(far, full + len(question)) == b"f" * full + question
        far.send(b"thanks")
    assert answers == [b"thanks"]
    channel.close()
    far.close()


async def test_a_peer_that_takes_nothing_ends_the_wait(driver, autojump_clock):
    channel, far = pair(driver)
    channel.patience = 5.0
    fill(channel)
    with pytest.raises(SlowReader):
        await driver.run(channel.ask, b"q")
    channel.close()
    far.close()


async def test_a_peer_that_is_gone_has_taken_nothing(driver):
    channel, far = pair(driver)

    async def strand():
        far.close()  # the driver has not heard of it
        await channel.ask(b"q")

    with pytest.raises(Untaken) as caught:
        await driver.run(strand)
    assert caught.value.errno == errno.EPIPE
    channel.close()


async def test_a_peer_that_took_a_part_may_have_answered(driver):
    """A part of a question may have had its effect: this is never Untaken, after which it would be asked again."""

    class Stuttering(Noted):
        def send(self, data, *flags):
            if self._calls:
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")
            self._calls.append("send")
            return self._sock.send(data[:3])

    near, far = socket.socketpair()
    near.setblocking(False)
    channel = TcpChannel(driver, Stuttering(near, "a", []), PEER)
    got: list[bytes] = []

    async def strand():
        got.append(await channel.ask(b"question"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run, strand)
        await step()
        assert far.recv(100) == b"que"
        far.send(b"enough")
    assert got == [b"enough"]
    channel.close()
    far.close()


# --- the strand is interrupted between -------------------------------------------------------------------------------


async def test_what_was_to_be_sent_is_sent_though_its_strand_is_cancelled_first(driver):
    channel, far = pair(driver)

    async def asks():
        await channel.ask(b"answer")

    async def cancels():
        asking.cancel()

    # both are stepped in the first pass of one turn, and the cancelled one again in the second: before the sends
    asking = driver.beside(asks)
    driver.beside(cancels)
    await step()
    assert asking.done.is_set
    assert far.recv(100) == b"answer"
    channel.close()
    far.close()


@pytest.fixture
async def interrupted(driver):
    """A channel whose bytes (b"precious") were received for a strand that was cancelled meanwhile; and its peer."""
    channel, far = pair(driver)
    child = driver.beside(channel.recv)
    await step()
    far.send(b"precious")
    child.cancel()  # it is queued before the driver looks at its descriptors
    await step()
    assert child.done.is_set
    assert channel.watch.taken == b"precious"
    yield channel, far
    channel.close()
    far.close()


async def test_what_was_received_for_a_cancelled_strand_is_the_next_ones(driver, interrupted):
    channel, far = interrupted
    far.send(b"!")
    assert await driver.run(channel.recv, 3) == b"pre"
    assert await driver.run(channel.recv) == b"cious"
    assert await driver.run(channel.recv) == b"!"


async def test_what_was_received_for_a_cancelled_strand_answers_the_next_question(driver, interrupted):
    channel, far = interrupted
    assert await driver.run(channel.ask, b"?") == b"precious"
    assert far.recv(100) == b"?"


async def test_a_channel_with_bytes_that_nobody_asked_for_is_stale(interrupted):
    assert interrupted[0].stale()


async def test_the_kernel_moves_nothing_past_what_was_received(driver, interrupted):
    channel, far = interrupted
    sink, out = pair(driver)
    far.send(b" and later")

    async def strand():
        moved: list[int] = []
        return await splice_some(channel, sink, Pipes(ceiling()), 100, moved.append, moved.append)

    assert await driver.run(strand) == 0
    assert await driver.run(channel.recv) == b"precious"
    sink.close()
    out.close()
