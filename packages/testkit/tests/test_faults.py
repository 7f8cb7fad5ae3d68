"""Each fault does what it says. Delays on a virtual clock over memory streams; the rest over real sockets."""

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair
from tulle_testkit import Answer, Faults, echo_upstream, fault_proxy, http_upstream
from tulle_testkit.faults import Cut, pump

# --- one direction, on a virtual clock ------------------------------------------------------------------------


def pumped(faults, sent, *, close=True):
    """[(time, piece)] that come out of a pump, how it ended, and when."""
    arrived, ended = [], []

    async def read(stream):
        while piece := await stream.receive_some(65536):
            arrived.append((trio.current_time(), piece))
        ended.append(("end", trio.current_time()))

    async def run_pump(source, sink):
        try:
            await pump(source, sink, faults)
        except Cut as cut:
            ended.append((str(cut), trio.current_time()))

    async def main():
        client, proxy_in = memory_stream_pair()
        proxy_out, server = memory_stream_pair()
        with trio.move_on_after(1000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, server)
                nursery.start_soon(run_pump, proxy_in, proxy_out)
                await client.send_all(sent)
                if close:
                    await client.send_eof()
                await trio.testing.wait_all_tasks_blocked()
                if ended:
                    nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return arrived, ended


def test_a_faultless_pump_passes_all_on_at_once():
    assert pumped(Faults(), b"hello") == ([(0, b"hello")], [("end", 0)])


def test_latency_delays_each_piece():
    arrived, ended = pumped(Faults(latency=2, slice=3), b"hello")
    assert arrived == [(2, b"hel"), (4, b"lo")]
    assert ended == [("end", 4)]


def test_slices():
    arrived, _ = pumped(Faults(slice=1, latency=0.5), b"abc")
    assert [piece for _, piece in arrived] == [b"a", b"b", b"c"]


def test_slow_close_delays_only_the_end():
    assert pumped(Faults(slow_close=7), b"hello") == ([(0, b"hello")], [("end", 7)])


def test_stall_keeps_open_and_silent():
    assert pumped(Faults(stall_after=2), b"hello") == ([(0, b"he")], [])


@pytest.mark.parametrize(("fault", "how"), [("close_after", "closed"), ("reset_after", "reset")])
def test_cuts_come_right_after_their_byte(fault, how):
    assert pumped(Faults(**{fault: 2}), b"hello", close=False) == ([(0, b"he")], [(how, 0)])
    assert pumped(Faults(**{fault: 5}), b"hello", close=False) == ([(0, b"hello")], [(how, 0)])
    assert pumped(Faults(**{fault: 6}), b"hello") == ([(0, b"hello")], [("end", 0)])


# --- whole connections, over sockets --------------------------------------------------------------------------


async def read_all(stream):
    data = b""
    while piece := await stream.receive_some(65536):
        data += piece
    return data


async def through(proxy, sent):
    """What comes back for `sent`, or "reset"."""
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
            try:
                await stream.send_all(sent)
                await stream.send_eof()
                return await read_all(stream)
            except trio.BrokenResourceError:
                return "reset"


@pytest.mark.trio
async def test_a_faultless_relay_keeps_half_close():
    async with echo_upstream() as upstream, fault_proxy(upstream.port) as proxy:
        sent = bytes(range(256)) * 1000
        assert await through(proxy, sent) == sent
        assert await through(proxy, b"again") == b"again"
        assert proxy.connections == 2
        assert [bytes(received) for received in upstream.received] == [sent, b"again"]


@pytest.mark.trio
@pytest.mark.parametrize(
    ("faults", "result"),
    [
        (Faults(slice=7), b"hello world"),
        (Faults(refuse=True), "reset"),
        (Faults(reset_after=0), "reset"),
    ],
)
async def test_faults_over_sockets(faults, result):
    async with echo_upstream() as upstream, fault_proxy(upstream.port, faults) as proxy:
        assert await through(proxy, b"hello world") == result


@pytest.mark.trio
async def test_a_reset_answer_reaches_the_client_as_a_reset():
    async with http_upstream(lambda request: Answer(body=bytes(100_000))) as upstream:
        async with fault_proxy(upstream.port, Faults(reset_after=1000)) as proxy:
            assert await through(proxy, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") == "reset"


@pytest.mark.trio
async def test_nobody_behind_the_proxy_is_a_reset():
    async with echo_upstream() as upstream:
        port = upstream.port
    async with fault_proxy(port) as proxy:
        assert await through(proxy, b"hello") == "reset"


@pytest.mark.trio
async def test_faults_can_change_while_it_runs():
    async with echo_upstream() as upstream, fault_proxy(upstream.port) as proxy:
        assert await through(proxy, b"one") == b"one"
        proxy.faults = Faults(refuse=True)
        assert await through(proxy, b"two") == "reset"
        proxy.faults = Faults()
        assert await through(proxy, b"three") == b"three"
