"""What arrives, and the very bytes that leave: each form of a message on its way through a proxy without policies.

"|" stands for CRLF.
"""

import pytest
from tulle_api.v1 import discovery_pb2 as pb

pytestmark = pytest.mark.trio


def wire(text):
    return text.replace("|", "\r\n").encode("latin-1")


# what -> (what the client sends, what the upstream gets)
# fmt: off
REQUESTS = {
    # RFC 9112 section 3.2.1
    "origin-form": ("GET //a/../b?c=%2e HTTP/1.1|Host: A||", "GET //a/../b?c=%2e HTTP/1.1|Host: A||"),
    # section 3.2.2: what is not sent to a proxy is sent in origin-form
    "absolute-form": ("GET http://a/x?y HTTP/1.1|Host: a||", "GET /x?y HTTP/1.1|Host: a||"),
    "absolute-form without a path": ("GET http://a HTTP/1.1|Host: a||", "GET / HTTP/1.1|Host: a||"),
    # section 3.2.4
    "asterisk-form": ("OPTIONS * HTTP/1.1|Host: a||", "OPTIONS * HTTP/1.1|Host: a||"),
    "asterisk-form, absolute": ("OPTIONS http://a HTTP/1.1|Host: a||", "OPTIONS * HTTP/1.1|Host: a||"),
    # section 2.2
    "an empty line first": ("|GET / HTTP/1.1|Host: a||", "GET / HTTP/1.1|Host: a||"),
    # section 2.3, RFC 9110 section 2.5: our own version; section 7.2: a Host, be it an empty one
    "http/1.0": ("GET / HTTP/1.0||", "GET / HTTP/1.1|Host: ||"),
    "http/1.0, absolute-form": ("GET http://a:81/ HTTP/1.0||", "GET / HTTP/1.1|Host: a:81||"),
    # RFC 9110 section 10.1.1: 1.0 knows no Expect
    "http/1.0 with expect": ("POST / HTTP/1.0|Host: a|Expect: 100-continue|Content-Length: 2||ab",
                             "POST / HTTP/1.1|Host: a|Content-Length: 2||ab"),
    # RFC 9110 section 7.6.1
    "hop-by-hop fields": (
        "GET / HTTP/1.1|Host: a|Connection: x-a, TE|X-A: 1|Keep-Alive: 5|Proxy-Connection: x|TE: trailers|X-B: 2||",
        "GET / HTTP/1.1|Host: a|X-B: 2|te: trailers|connection: te||"),  # what the client reads, we read (10.1.4)
    "cookies and what else Connection names": ("GET / HTTP/1.1|Host: a|Connection: cookie|Cookie: c||",
                                               "GET / HTTP/1.1|Host: a||"),
    "upgrade that Connection does not name": (
        "GET / HTTP/1.1|Host: a|Upgrade: websocket||", "GET / HTTP/1.1|Host: a||"),
    "upgrade": ("GET / HTTP/1.1|Host: a|Connection: Upgrade|Upgrade: WebSocket||",
                "GET / HTTP/1.1|Host: a|connection: upgrade|upgrade: websocket||"),
    # RFC 9113 section 3.1: h2c by upgrade is no more
    "h2c": ("GET / HTTP/1.1|Host: a|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: A||",
            "GET / HTTP/1.1|Host: a||"),
    # RFC 9112 section 6
    "a length": ("POST / HTTP/1.1|Host: a|Content-Length: 005||hello",
                 "POST / HTTP/1.1|Host: a|Content-Length: 005||hello"),
    "a length of 0": ("POST / HTTP/1.1|Host: a|Content-Length: 0||", "POST / HTTP/1.1|Host: a|Content-Length: 0||"),
    # section 7.1: extensions, and a request's trailers, end here; chunks are our own
    "chunks": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked||2;a=b|he|003|llo|0;c|X-Sum: 1||",
               "POST / HTTP/1.1|Host: a|transfer-encoding: chunked||5|hello|0||"),
    "no chunk at all": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked||0||",
                        "POST / HTTP/1.1|Host: a|transfer-encoding: chunked||0||"),
}
# what -> (method and version of the client's request, what the upstream answers, what the client gets)
ANSWERS = {
    "a length": ("GET 1.1", "HTTP/1.1 200 Fine|A: b|Content-Length: 2||ok",
                 "HTTP/1.1 200 OK|A: b|Content-Length: 2||ok"),
    "chunks": ("GET 1.1", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||1;x|o|1|k|0|X: y||",
               "HTTP/1.1 200 OK|transfer-encoding: chunked||2|ok|0||"),
    # RFC 9112 section 6.1: no chunks to 1.0, the end of the connection is the end of the body
    "chunks to 1.0": ("GET 1.0", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||1|o|1|k|0||",
                      "HTTP/1.1 200 OK|connection: close||ok"),
    # RFC 9110 section 8.6, 9.3.2: of what GET would have got
    "HEAD": ("HEAD 1.1", "HTTP/1.1 200 OK|Content-Length: 5||", "HTTP/1.1 200 OK|Content-Length: 5||"),
    "304": ("GET 1.1", "HTTP/1.1 304 Not Modified|Content-Length: 5||",
            "HTTP/1.1 304 Not Modified|Content-Length: 5||"),
    # RFC 9112 section 6.3, rule 1
    "204": ("GET 1.1", "HTTP/1.1 204 No Content|Content-Length: 0||", "HTTP/1.1 204 No Content||"),
    # RFC 9110 section 15.2: passed on, but for 100, and none to 1.0
    "1xx": ("GET 1.1", "HTTP/1.1 103 Early Hints|Link: x||HTTP/1.1 200 OK|Content-Length: 0||",
            "HTTP/1.1 103 Early Hints|Link: x||HTTP/1.1 200 OK|Content-Length: 0||"),
    "100": ("GET 1.1", "HTTP/1.1 100 Continue||HTTP/1.1 200 OK|Content-Length: 0||",
            "HTTP/1.1 200 OK|Content-Length: 0||"),
    "1xx to 1.0": ("GET 1.0", "HTTP/1.1 103 Early Hints|Link: x||HTTP/1.1 200 OK|Content-Length: 0||",
                   "HTTP/1.1 200 OK|Content-Length: 0|connection: close||"),
    # RFC 9110 section 7.6.1
    "hop-by-hop fields": ("GET 1.1", "HTTP/1.1 200 OK|Connection: x-a|X-A: 1|Keep-Alive: 5|Content-Length: 0||",
                          "HTTP/1.1 200 OK|Content-Length: 0||"),
}
# fmt: on


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_request_on_its_way(mesh, harness, case):
    arrives, leaves = map(wire, REQUESTS[case])
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, protocol=pb.PROTOCOL_HTTP1)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(arrives)
            peer = await app.accept()
            got = await peer.exactly(len(leaves))
            assert got == leaves
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            assert (await peer.rest()) == (b"", True), "nothing more than this"
            assert (await client.until(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_on_its_way(mesh, harness, case):
    asked, arrives, leaves = ANSWERS[case]
    method, version = asked.split()
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, protocol=pb.PROTOCOL_HTTP1)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(wire(f"{method} / HTTP/{version}|Host: a||"))
            peer, _ = await app.request()
            await peer.send(wire(arrives))
            assert await client.exactly(len(wire(leaves))) == wire(leaves)
            await client.send_eof()
            assert (await client.rest()) == (b"", True), "nothing more than this"
        assert m.host.outbound_pool.idle == 1
