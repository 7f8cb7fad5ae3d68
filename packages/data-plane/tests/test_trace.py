"""Traces through whole proxies: two of them in a row, as between two pods, and what their spans say."""

import pytest
from tulle_plugin_api import Address
from tulle_testkit import http_upstream

pytestmark = pytest.mark.trio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def tracing(harness):
    """`plugins=..., exporters=...` of a proxy with an exporter that wants spans."""

    class Spans(harness.Seen):
        spans = True

    return {"made": harness.plugins(exporters={"spans": lambda context: Spans()}), "exporters": ("spans",)}


async def answer_head(m, harness, upstream, **fields):
    """What reaches the upstream of a request with these fields."""
    async with m.client() as client:
        await client.ask(**fields)
        peer, head = await upstream.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await client.answer()
    return head.decode("latin-1").lower()


async def test_outbound_the_next_hops_parent_is_our_span(mesh, harness, tracing):
    async with mesh(**tracing, trace_sample=0.0) as m, m.raw_upstream() as upstream:
        await m.service(harness.VIP, upstream.port)
        head = await answer_head(m, harness, upstream, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=b")
        (seen,) = m.seen.ended
        assert (seen.span.trace_id, seen.span.parent_id, seen.span.sampled) == (TRACE, PARENT, True)
        assert head.count("traceparent:") == 1
        assert f"traceparent: 00-{TRACE}-{seen.span.span_id}-01\r\n" in head
        assert "tracestate: a=b\r\n" in head


async def test_heads_that_are_alike_get_spans_of_their_own(mesh, harness, tracing):
    # the codec remembers heads: what a trace writes to one must not be found in the next
    async with mesh(**tracing, trace_sample=1.0) as m, m.raw_upstream() as upstream:
        await m.service(harness.VIP, upstream.port)
        async with m.client() as client:
            peer = None
            for number in range(4):
                await client.ask()
                peer = peer or await upstream.accept()
                head = (await peer.until()).decode("latin-1").lower()
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await client.answer()
                await m.until(lambda number=number: len(m.seen.ended) == number + 1)
                assert head.count("traceparent:") == 1
                assert f"-{m.seen.ended[-1].span.span_id}-01" in head
        assert len({seen.span.trace_id for seen in m.seen.ended}) == 4
        assert {seen.span.parent_id for seen in m.seen.ended} == {""}


async def test_a_hop_has_a_clients_and_a_servers_span_that_join_up(mesh, harness, tracing):
    async with mesh(**tracing, trace_sample=0.0) as server_side, mesh(**tracing, trace_sample=1.0) as client_side:
        async with http_upstream() as app:
            there = Address("127.0.0.1", app.port)
            server_side.destinations["127.0.0.1"] = there
            await client_side.service(harness.VIP, server_side.proxy.ports["inbound"])
            async with client_side.client() as client:
                assert (await client.get()).status == 200
            await server_side.until(lambda: server_side.seen.ended)
        (one,), (two,) = client_side.seen.ended, server_side.seen.ended
        assert (one.direction, two.direction) == ("outbound", "inbound")
        assert two.span.trace_id == one.span.trace_id
        assert two.span.parent_id == one.span.span_id
        assert one.span.parent_id == ""
        assert one.span.sampled
        assert two.span.sampled, "the first hop decides, whatever the second's own rate"


async def test_a_request_that_is_refused_has_a_span_too(mesh, harness, tracing):
    async with mesh(**tracing, trace_sample=1.0) as m:
        await m.service(harness.VIP)
        async with m.client() as client:
            assert (await client.get()).reason == "no-endpoints"
        (seen,) = m.seen.ended
        assert seen.span.sampled


async def test_without_such_an_exporter_headers_pass_as_they_are(mesh, harness):
    async with mesh() as m, m.raw_upstream() as upstream:
        await m.service(harness.VIP, upstream.port)
        head = await answer_head(m, harness, upstream, traceparent=f"00-{TRACE}-{PARENT}-01", b3="0")
        assert f"traceparent: 00-{TRACE}-{PARENT}-01\r\n" in head
        assert "b3: 0\r\n" in head
        assert m.seen.ended[0].span is None
        assert m.host.tracer is None
