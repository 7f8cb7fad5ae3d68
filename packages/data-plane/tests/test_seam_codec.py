"""The seam where another protocol goes in: a toy codec, served, balanced, observed and cancelled like HTTP/1.1."""

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Exchange
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Words:
    """A codec: "GET /path\\n" is answered with "200 LENGTH\\nBODY"; many times. Sits in HTTP/2's place."""

    def __init__(self):
        self.mesh = None  # known once the proxy has been made
        self.firsts = []

    async def serve(self, channel, first, destination, route):
        self.firsts.append(first)
        buffer = first.removeprefix(PREFACE)
        try:
            while True:
                while b"\n" not in buffer:
                    data = await channel.recv()
                    if not data:
                        return
                    buffer += data
                line, _, buffer = buffer.partition(b"\n")
                exchange = Exchange()
                exchange.protocol = "words"
                exchange.method, exchange.path = line.decode().split(" ", 1)
                exchange.authority, exchange.source, exchange.destination = "words", channel.peer, destination
                exchange.headers.add("host", "words")
                exchange.service, exchange.started = route.service, self.mesh.driver.now()
                response = await route.handler(exchange)
                body = response.body
                if not isinstance(body, bytes):
                    pieces = []
                    while piece := await body.read():
                        pieces.append(piece)
                    await body.aclose()
                    body = b"".join(pieces)
                await channel.send_all(b"%d %d\n%b" % (response.status, len(body), body))
                exchange.status, exchange.ended = response.status, self.mesh.driver.now()
                self.mesh.host.ended(exchange)
        finally:
            channel.close()


def seams():
    codec = Words()
    return codec, {"codecs": {pb.PROTOCOL_HTTP2: codec}}


async def test_a_second_codec_is_served_with_the_same_handlers(mesh, harness):
    codec, seam = seams()
    async with mesh(seams=seam) as m, http_upstream(lambda r: Answer(body=(b"a", b"b"))) as one, http_upstream() as two:
        codec.mesh = m
        await m.service(harness.VIP, one.port, two.port, protocol=pb.PROTOCOL_HTTP2)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET /1\nGET /2\n")  # pipelined, balanced one by one
            assert await client.exactly(16) == b"200 2\nab200 2\nok"
            await client.send(b"GET /3\n")
            assert await client.exactly(8) == b"200 2\nab"
        await m.settled()
        assert [request.target for request in one.requests] == ["/1", "/3"]
        assert [request.target for request in two.requests] == ["/2"]
        assert [(e.protocol, e.path, e.status, e.service.name) for e in m.seen.ended] == [
            ("words", "/1", 200, "app-b"), ("words", "/2", 200, "app-b"), ("words", "/3", 200, "app-b"),
        ]


async def test_failures_reach_a_second_codec_as_answers(mesh, harness):
    codec, seam = seams()
    async with mesh(seams=seam) as m:
        codec.mesh = m
        await m.service(harness.VIP, protocol=pb.PROTOCOL_HTTP2)
        async with await m.dial() as stream:
            await stream.send_all(b"GET /\n")
            answer = await harness.Peer(stream).until(b"endpoint")
            assert answer.startswith(b"503 ")


async def test_detection_hands_a_codec_what_it_has_read(mesh, harness):
    codec, seam = seams()
    async with mesh(seams=seam) as m, http_upstream() as app:
        codec.mesh = m
        await m.service(harness.VIP, app.port)  # no protocol named: the first bytes say it
        for cut in (len(PREFACE), 5):
            async with await m.dial() as stream:
                await stream.send_all(PREFACE[:cut])
                await trio.testing.wait_all_tasks_blocked()
                await stream.send_all(PREFACE[cut:] + b"GET /\n")
                assert await harness.Peer(stream).exactly(8) == b"200 2\nok"
        async with m.client() as client:  # and HTTP/1.1 is still HTTP/1.1
            assert (await client.get()).status == 200
        assert all(first.startswith(PREFACE) for first in codec.firsts)
        assert [e.protocol for e in m.seen.ended] == ["words", "words", "http/1.1"]


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(1)], ids=repr)
async def test_a_codec_that_breaks_ends_its_connection_and_nothing_else(mesh, harness, error):
    class Broken:
        async def serve(self, channel, first, destination, route):
            raise error

    async with mesh(seams={"codecs": {pb.PROTOCOL_HTTP2: Broken()}}) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as neighbour, await m.dial() as stream:
            assert (await neighbour.get()).status == 200
            await stream.send_all(PREFACE)
            assert (await harness.Peer(stream).rest())[1] is False
            assert (await neighbour.get()).status == 200


async def test_a_connection_of_a_second_codec_ends_with_the_proxy(mesh, harness):
    codec, seam = seams()
    async with mesh(seams=seam, drain_seconds=0.1) as m:
        codec.mesh = m
        await m.service(harness.VIP, protocol=pb.PROTOCOL_HTTP2)
        stream = await m.dial()
        await m.until(lambda: codec.firsts)
        m.proxy.shut_down()
        assert (await harness.Peer(stream).rest())[0] == b""
        await stream.aclose()
