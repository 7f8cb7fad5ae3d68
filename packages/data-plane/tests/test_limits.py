"""The limits of HTTP/1.1: each can be changed, holds to the byte or second, has a metric and a reason, is documented.

Walks the table of limits.py: a limit without a case here fails.
"""

import re
from pathlib import Path

import pytest
import trio
import trio.testing
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.errors import STATUS
from tulle_data_plane.limits import LIMITS
from tulle_data_plane.settings import BadSettings, Settings, from_environment
from tulle_data_plane.shell.channel import TcpChannel
from tulle_data_plane.strands import RECEIVE_SIZE
from tulle_plugin_api import Address
from tulle_testkit import http_upstream

README = Path(__file__).parents[1] / "README.md"
OPAQUE = Address("10.96.0.2", 6379)
BY_SETTING = {limit.setting: limit for limit in LIMITS}
GET = b"GET / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"

# setting -> (a value that is not the default, a message of a size)
SIZES = {
    "request_line_bytes": (300, lambda size: b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"x" * (size - 14))),
    "head_bytes": (20_000, lambda size: GET + b"x: %b\r\n\r\n" % (b"y" * (size - len(GET) - 7))),
    "head_fields": (10, lambda size: GET + b"x: y\r\n" * (size - 1) + b"\r\n"),
    "chunk_extension_bytes": (20, lambda size: CHUNKED + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * (size - 1))),
    "trailer_bytes": (30, lambda size: CHUNKED + b"0\r\nx: %b\r\n\r\n" % (b"y" * (size - 7))),
}
TIMES = ("head_seconds", "body_rate", "idle_seconds", "write_seconds", "half_closed_seconds")


def test_every_limit_is_tested():
    assert {*SIZES, *TIMES, "body_grace_seconds"} == {limit.setting for limit in LIMITS}
    names = [limit.name for limit in LIMITS if limit.name]
    assert len(set(names)) == len(names) == len(LIMITS) - 1, "the grace is part of the rate"


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.setting)
def test_its_range(limit):
    default = getattr(Settings(), limit.setting)
    assert limit.low <= default <= limit.high
    room = {"TULLE_HEAD_BYTES": str(1 << 20), "TULLE_REQUEST_LINE_BYTES": "256"}
    for text in (f"{limit.low:.9g}", f"{limit.high:.9g}", f"{default:.9g}"):
        value = getattr(from_environment({**room, limit.variable: text}), limit.setting)
        assert value == float(text)
        assert type(value) is type(default)
    expected = re.escape(f"expected {limit.low:.9g} to {limit.high:.9g} {limit.unit}")
    whole = () if limit.unit == "seconds" else ("1000.5",)
    below, above = limit.low - (0.01 if limit.unit == "seconds" else 1), limit.high + 1
    for text in ("", "much", "nan", "-5", f"{below:.9g}", f"{above:.9g}", *whole):
        with pytest.raises(BadSettings, match=f"^{limit.variable}='{text}': {expected}$"):
            from_environment({limit.variable: text})


def test_a_line_that_no_head_can_hold_is_refused():
    with pytest.raises(BadSettings, match="TULLE_REQUEST_LINE_BYTES=16384 is more than TULLE_HEAD_BYTES=8192"):
        from_environment({"TULLE_HEAD_BYTES": "8192"})
    assert from_environment({"TULLE_HEAD_BYTES": "16384"}).head_bytes == 16384


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.setting)
def test_its_row_in_the_readme(limit):
    rows = [line for line in README.read_text().splitlines() if line.startswith(f"| `{limit.variable}` |")]
    default = getattr(Settings(), limit.setting)
    metric = f"`{limit.name}`" if limit.name else "(of the rate)"
    assert rows == [
        f"| `{limit.variable}` | {default:.9g} | {limit.low:.9g} to {limit.high:.9g} {limit.unit} | {limit.what} "
        f"| {metric} | `{limit.reason}` |"
    ]


def counter(m, limit):
    return m.counter(f'limit_hits_total{{limit="{limit.name}",reason="{limit.reason}"}}')


@pytest.mark.trio
async def test_every_metric_is_there_before_anything_happens(mesh):
    async with mesh() as m:
        counters = m.proxy.counters()
    for limit in LIMITS:
        if limit.name:
            assert f'tulle_proxy_limit_hits_total{{limit="{limit.name}",reason="{limit.reason}"}}' in counters


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("setting", SIZES)
async def test_a_size_that_was_changed(mesh, harness, setting, over):
    size, message = SIZES[setting]
    limit = BY_SETTING[setting]
    assert size != getattr(Settings(), setting)
    async with mesh(**{setting: size}) as m, http_upstream() as app:
        before = counter(m, limit)
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(message(size + over))
            await client.send_eof()
            got, _ = await client.rest()
        status = STATUS[limit.reason][0] if over > 0 else 200
        assert got.startswith(b"HTTP/1.1 %d " % status)
        assert (b"tulle-reason: %b\r\n" % limit.reason.encode() in got) == (over > 0)
        assert len(app.requests) == (over <= 0)
        assert counter(m, limit) == before + (over > 0)


@pytest.mark.trio
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("setting", ["head_fields", "head_bytes"])
async def test_it_holds_for_answers(mesh, harness, setting, over):
    size = SIZES[setting][0] + over
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
    fields = {"head_fields": b"x: y\r\n" * (size - 1), "head_bytes": b"x: %b\r\n" % (b"y" * (size - len(start) - 7))}
    async with mesh(**{setting: SIZES[setting][0]}) as m, m.raw_upstream() as app:
        before = counter(m, BY_SETTING[setting])
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(start + fields[setting] + b"\r\n")
            assert (await client.answer()).status == (502 if over else 200)
        assert counter(m, BY_SETTING[setting]) == before + over


# --- times ----------------------------------------------------------------------------------------------------------


async def passes(clock, seconds):
    await trio.testing.wait_all_tasks_blocked()
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def a_head(m, harness, app, clock):
    async with await m.dial() as stream:
        await stream.send_all(GET)
        await m.until(lambda: m.open == 1)
        await trio.testing.wait_all_tasks_blocked()
        yield
        head = await harness.Peer(stream).until()
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"tulle-reason: head-timeout\r\n" in head


async def a_body(m, harness, app, clock):
    async with await m.dial() as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n" + b"x" * 100)
        peer, _ = await app.request(b"x" * 100)
        await passes(clock, 15)
        await stream.send_all(b"x" * 100)  # 200 bytes, which at 10 a second are worth the 20 seconds
        await peer.until(b"x" * 100)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(5)
        yield
        head = await harness.Peer(stream).until()
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"tulle-reason: body-timeout\r\n" in head
        assert (await peer.rest())[1] is False, "half a request is no request"


async def a_kept_connection(m, harness, app, clock):
    async with m.client() as client:
        await client.ask()
        peer, _ = await app.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        assert (await client.answer()).status == 200
        await trio.testing.wait_all_tasks_blocked()
        yield
        assert await client.ended() is True


async def a_reader(m, harness, app, clock):
    async with m.client() as client, trio.open_nursery() as nursery:
        await client.ask()
        peer, _ = await app.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500000000\r\n\r\n")

        async def pour():
            with pytest.raises(trio.BrokenResourceError):
                while True:
                    await peer.stream.send_all(b"x" * 65536)

        nursery.start_soon(pour)
        await trio.testing.wait_all_tasks_blocked()
        yield


async def a_half_closed_relay(m, harness, app, clock):
    await m.service(OPAQUE, app.port, protocol=pb.PROTOCOL_OPAQUE)
    async with await m.dial(OPAQUE) as stream:
        await stream.send_all(b"x")
        await stream.send_eof()
        peer = await app.accept()
        assert await peer.rest() == (b"x", True)
        await trio.testing.wait_all_tasks_blocked()
        yield
        await passes(clock, 20)  # found after once to twice the time
        assert (await harness.Peer(stream).rest())[1] is False


CASES = dict(zip(TIMES, (a_head, a_body, a_kept_connection, a_reader, a_half_closed_relay), strict=True))


@pytest.mark.trio
@pytest.mark.parametrize("setting", TIMES)
async def test_a_time_that_was_changed(mesh, harness, mock_clock, setting):
    limit = BY_SETTING[setting]
    given = {"body_rate": 10, "body_grace_seconds": 20} if setting == "body_rate" else {setting: 20}
    assert getattr(Settings(), setting) != given[setting]
    async with mesh(**given) as m, m.raw_upstream() as app:
        before = counter(m, limit)
        await m.service(harness.VIP, app.port)
        async for _ in CASES[setting](m, harness, app, mock_clock):
            await passes(mock_clock, 19)
            assert (m.open, counter(m, limit)) == (1, before), "just below"
            await passes(mock_clock, 1.5)
        await m.settled()
        assert counter(m, limit) == before + 1


@pytest.mark.trio
async def test_a_body_that_the_upstream_does_not_take_is_not_slow(mesh, harness, mock_clock):
    size = 40_000_000
    async with mesh(body_rate=1 << 20, body_grace_seconds=1) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream, trio.open_nursery() as nursery:
            await stream.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
            peer, _ = await app.request()
            nursery.start_soon(stream.send_all, b"x" * size)  # as fast as it is taken: for now, not at all
            await passes(mock_clock, 500)
            await passes(mock_clock, 500)
            await peer.exactly(size)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            assert (await harness.Peer(stream).until()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.trio
async def test_a_rate_of_0_is_none(mesh, harness, mock_clock):
    async with mesh(body_rate=0, body_grace_seconds=1, idle_seconds=60) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx")
            peer, _ = await app.request()
            for _ in range(8):
                await passes(mock_clock, 55)
                await stream.send_all(b"x")
            await peer.exactly(9)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            assert (await harness.Peer(stream).until()).startswith(b"HTTP/1.1 200 ")


# --- what is not refused, but waits -----------------------------------------------------------------------------------


@pytest.mark.trio
async def test_pipelined_requests_are_read_ahead_by_one_read_at_most(mesh, harness, monkeypatch):
    """README: 64 KiB of them; the rest waits in the kernel, and then at the client."""
    read = {}
    made = TcpChannel.__init__

    def counted(channel, driver, connected, peer):
        made(channel, driver, connected, peer)
        recv = connected.recv

        def counting(*args):
            data = recv(*args)
            read[peer] = read.get(peer, 0) + len(data)
            return data

        channel._recv = counting

    monkeypatch.setattr(TcpChannel, "__init__", counted)
    one = b"GET /%06d HTTP/1.1\r\nhost: a\r\n\r\n"
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, protocol=pb.PROTOCOL_HTTP1)
        async with await m.dial() as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"".join(one % number for number in range(20_000)))
            peer, head = await app.request()
            assert head == one % 0
            await trio.testing.wait_all_tasks_blocked()
            (client,) = read
            assert read[client] <= RECEIVE_SIZE < 20_000 * len(one % 0)
            for number in range(1, 4):
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                assert await peer.until() == one % number, "in their order"
            assert read[client] <= RECEIVE_SIZE
            nursery.cancel_scope.cancel()
