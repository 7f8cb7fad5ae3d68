"""The recording servers: what they record is what was sent."""

import pytest
import trio
from tulle_testkit import Answer, assert_chunking_invariant, http_upstream

pytestmark = pytest.mark.trio


async def exchange(upstream, *requests):
    """Everything that comes back on one connection for `requests`, sent at once."""
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", upstream.port) as stream:
            await stream.send_all(b"".join(requests))
            await stream.send_eof()
            answer = b""
            while piece := await stream.receive_some(65536):
                answer += piece
            return answer


async def test_requests_are_recorded_with_their_connection():
    async with http_upstream() as upstream:
        get = b"GET /cart?x=1 HTTP/1.1\r\nHost: app-b\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        post = b"POST /buy HTTP/1.1\r\nHost: app-b\r\nContent-Length: 5\r\n\r\nhello"
        answer = await exchange(upstream, get, post)
        await exchange(upstream, get)
        assert answer.count(b"HTTP/1.1 200 ") == 2
        assert answer.endswith(b"\r\n\r\nok")
        first, second, third = upstream.requests
        assert (first.method, first.target, first.header("x-a")) == ("GET", "/cart?x=1", ["1", "2"])
        assert first.connection == 0
        assert (second.method, second.body, second.connection) == ("POST", b"hello", 0)
        assert third.connection == 1
        assert upstream.connections == 2


async def test_answers_are_made_by_the_test():
    def answer(request):
        if request.target == "/chunks":
            return Answer(503, (("retry-after", "1"),), (b"one", b"two"))
        return Answer(204, body=b"", close=True)

    async with http_upstream(answer) as upstream:
        chunked = await exchange(upstream, b"GET /chunks HTTP/1.1\r\nhost: a\r\n\r\n")
        assert chunked.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in chunked
        assert chunked.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
        assert (await exchange(upstream, get, get)).count(b"HTTP/1.1") == 1
        assert len(upstream.requests) == 2


async def test_what_is_no_http_is_answered_400():
    async with http_upstream() as upstream:
        assert (await exchange(upstream, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert upstream.requests == []


async def test_100_continue():
    async with http_upstream() as upstream, await trio.open_tcp_stream("127.0.0.1", upstream.port) as stream:
        with trio.fail_after(30):
            head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
            await stream.send_all(head)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(b"hello")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        assert upstream.requests[0].body == b"hello"


async def test_a_request_is_the_same_however_it_is_cut():
    import h11

    def parse(pieces):
        connection, seen = h11.Connection(h11.SERVER), []
        while not seen or not isinstance(seen[-1], h11.EndOfMessage):
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(next(pieces))
            else:
                seen.append(event)
        body = b"".join(event.data for event in seen if isinstance(event, h11.Data))
        return (seen[0].target, body), connection.trailing_data[0]

    data = b"POST /buy HTTP/1.1\r\nHost: app-b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert assert_chunking_invariant(parse, data) == (b"/buy", b"hello")
