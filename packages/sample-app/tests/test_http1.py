"""Heads and bodies: each case whole, byte by byte, and with bytes left over; chunking may not change the result."""

import asyncio

import pytest
from tulle_sample_app.http1 import (
    CHUNKED,
    MAX_HEAD_BYTES,
    UNTIL_CLOSE,
    Headers,
    HttpError,
    framing,
    read_body,
    read_request,
    read_response,
    status_line,
)

LEFT_OVER = b"GET /next HTTP/1.1\r\n"


def parse(parser, data, left_over=LEFT_OVER):
    """Parse `data` in the three ways; check that they agree and that what follows is left alone."""
    results = []
    for pieces in ([data + left_over], [bytes([byte]) for byte in data + left_over], [data, left_over]):
        async def go(pieces=pieces):
            reader = asyncio.StreamReader(limit=MAX_HEAD_BYTES)
            parsing = asyncio.create_task(parser(reader))
            for piece in pieces:
                if piece:
                    reader.feed_data(piece)
                    await asyncio.sleep(0)
            reader.feed_eof()
            try:
                result = await parsing
            except HttpError as error:
                return error.status, str(error)
            return result, await reader.read()
        results.append(asyncio.run(go()))
    assert results[0] == results[1] == results[2]
    return results[0]


async def request(reader):
    found = await read_request(reader)
    return found and (found.method, found.target, found.version, found.headers.fields, found.keeps_alive)


@pytest.mark.parametrize(("data", "expected"), [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/", "HTTP/1.1", [("host", "a")], True)),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHOST:a\r\n\r\n", ("GET", "/", "HTTP/1.1", [("host", "a")], True)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX:\t b c \t\r\nX: d\r\n\r\n",
     ("GET", "/", "HTTP/1.1", [("host", "a"), ("x", "b c"), ("x", "d")], True)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Foo, Close\r\n\r\n",
     ("GET", "/", "HTTP/1.1", [("host", "a"), ("connection", "Foo, Close")], False)),
    (b"GET / HTTP/1.0\r\n\r\n", ("GET", "/", "HTTP/1.0", [], False)),
    (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     ("GET", "/", "HTTP/1.0", [("connection", "keep-alive")], True)),
])
def test_requests(data, expected):
    assert parse(request, data) == (expected, LEFT_OVER)


def test_a_clean_end_is_no_request():
    assert parse(request, b"", b"") == (None, b"")
    assert parse(request, b"\r\n", b"") == (None, b"")


@pytest.mark.parametrize(("data", "status"), [
    (b"GET /\r\nHost: a\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET / SPDY/3\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", 400),  # cut off
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
])
def test_requests_refused(data, status):
    assert parse(request, data, b"")[0] == status


@pytest.mark.parametrize(("fields", "expected"), [
    ([], 0),
    ([("Content-Length", "0")], 0),
    ([("Content-Length", "42")], 42),
    ([("Transfer-Encoding", "Chunked")], CHUNKED),
])
def test_framing(fields, expected):
    assert framing(Headers(fields)) == expected
    assert framing(Headers(), UNTIL_CLOSE) == UNTIL_CLOSE


@pytest.mark.parametrize(("fields", "status"), [
    ([("Content-Length", "1"), ("Content-Length", "1")], 400),
    ([("Content-Length", "1, 1")], 400),
    ([("Content-Length", "+1")], 400),
    ([("Content-Length", "-1")], 400),
    ([("Content-Length", "0x1")], 400),
    ([("Content-Length", "")], 400),
    ([("Content-Length", "1" * 20)], 400),
    ([("Content-Length", "1"), ("Transfer-Encoding", "chunked")], 400),
    ([("Transfer-Encoding", "gzip")], 501),
    ([("Transfer-Encoding", "xchunked")], 501),
    ([("Transfer-Encoding", "chunked, chunked")], 501),
    ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")], 501),
])
def test_framing_refused(fields, status):
    with pytest.raises(HttpError) as caught:
        framing(Headers(fields))
    assert caught.value.status == status


def body(how):
    async def parser(reader):
        return b"".join([piece async for piece in read_body(reader, how)])
    return parser


@pytest.mark.parametrize(("how", "data", "expected"), [
    (0, b"", b""),
    (5, b"hello", b"hello"),
    (CHUNKED, b"0\r\n\r\n", b""),
    (CHUNKED, b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n", b"hello!"),
    (CHUNKED, b"0A \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", b"0123456789"),
])
def test_bodies(how, data, expected):
    assert parse(body(how), data) == (expected, LEFT_OVER)


def test_a_body_until_close():
    assert parse(body(UNTIL_CLOSE), b"all of it", b"") == (b"all of it", b"")


@pytest.mark.parametrize("data", [
    b"g\r\n", b"-1\r\nx\r\n", b"5\nhello\r\n", b"\r\n", b"0x5\r\nhello\r\n", b"5\r\nhello!\r\n0\r\n\r\n",
    b"f" * 16 + b"\r\n",
    b"1;" + b"x" * MAX_HEAD_BYTES + b"\r\n",
])
def test_chunks_refused(data):
    assert parse(body(CHUNKED), data, b"")[0] == 400


@pytest.mark.parametrize(("how", "data"), [(5, b"hell"), (CHUNKED, b"5\r\nhell"), (CHUNKED, b"5\r\nhello\r\n")])
def test_a_body_cut_off_is_not_a_body(how, data):
    with pytest.raises(asyncio.IncompleteReadError):
        parse(body(how), data, b"")


async def response(reader):
    status, headers = await read_response(reader)
    return status, headers.fields


@pytest.mark.parametrize(("data", "expected"), [
    (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", (200, [("a", "b")])),
    (b"HTTP/1.0 404\r\n\r\n", (404, [])),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 204 \r\n\r\n", (204, [])),
])
def test_responses(data, expected):
    assert parse(response, data) == (expected, LEFT_OVER)


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/2 200\r\n\r\n"])
def test_responses_refused(data):
    assert parse(response, data, b"")[0] == 502


def test_status_lines():
    assert status_line(404) == "HTTP/1.1 404 Not Found"
    assert status_line(599) == "HTTP/1.1 599 Unknown"
