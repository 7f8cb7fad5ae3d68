"""The proxy's own counters: what it found, refused and gave up, by names of which there are few."""

import socket

import pytest
from tulle_data_plane.wire.errors import LIMITS, REASONS, limit_hits
from tulle_testkit import echo_upstream, http_upstream

pytestmark = pytest.mark.trio

HEAD = b"HTTP/1.1\r\nhost: a\r\n"
TOO_LARGE = {
    "uri-too-long": b"GET /%b %b\r\n" % (b"x" * 20_000, HEAD),
    "head-too-large": b"GET / %bx: %b\r\n\r\n" % (HEAD, b"x" * 70_000),
    "too-many-fields": b"GET / %b%b\r\n" % (HEAD, b"x: y\r\n" * 101),
    "chunk-extensions-too-large": (
        b"POST / %btransfer-encoding: chunked\r\n\r\n1;x=%b\r\nx\r\n0\r\n\r\n" % (HEAD, b"y" * 5000)
    ),
    "trailers-too-large": b"POST / %btransfer-encoding: chunked\r\n\r\n0\r\nx: %b\r\n\r\n" % (HEAD, b"y" * 9000),
}


async def test_every_limit_has_a_name_a_metric_and_a_reason(mesh, harness):
    assert set(TOO_LARGE) == set(LIMITS) == set(limit_hits) < set(REASONS)
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        for reason, request in TOO_LARGE.items():
            name = f'limit_hits_total{{limit="{LIMITS[reason]}",reason="{reason}"}}'
            assert hasattr(m.host.limits, LIMITS[reason])
            before = m.counter(name)
            async with m.client() as client:
                await client.stream.send_all(request)
                data = await client.receive()
                assert b"tulle-reason: %b\r\n" % reason.encode() in data
            assert m.counter(name) == before + 1, reason


async def test_an_upstreams_answer_hits_limits_too(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        name = 'limit_hits_total{limit="fields",reason="too-many-fields"}'
        before = m.counter(name)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n" % (b"x: y\r\n" * 101))
            assert (await client.answer()).reason == "bad-answer"
        assert m.counter(name) == before + 1


@pytest.mark.parametrize(
    ("first", "found"),
    [(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "http/1"), (b"\x16\x03\x01\x00\x05\x01", "tls"), (b"\x00\x01", "opaque"),
     (b"", "silent")],
)  # fmt: skip
async def test_what_was_detected(mesh, harness, first, found):
    async with mesh() as m, echo_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            if first:
                await stream.send_all(first)
            else:
                await stream.send_eof()
            await m.until(lambda: m.counter(f'detections_total{{protocol="{found}"}}') == 1)
        assert sum(value for name, value in m.host.counters.items() if "detections_total" in name) == 1


async def test_why_endpoints_are_ejected(mesh, harness):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, sock.getsockname()[1], app.port)
        async with m.client() as client:
            for _ in range(4):
                assert (await client.get()).status == 200
        assert m.counter('endpoint_ejections_total{reason="connect-failed"}') == 1
    sock.close()
