"""Heads as they leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_data_plane.wire.http1 import (
    CHUNKED_BODY,
    CONTINUE,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE_BODY,
    Framing,
    answer_framing,
    encode_request,
    encode_response,
    parse_request,
    parse_response,
    plain_answer,
    plain_request,
)

HOST = b"Host: a\r\n"
FIVE = Framing(LENGTH, 5)


def test_requests():
    assert encode_request("GET", "/x?y", HOST, NO_BODY) == b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n"
    assert encode_request("POST", "/", HOST, CHUNKED_BODY, b"x: y\r\n") == (
        b"POST / HTTP/1.1\r\nHost: a\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    assert encode_request("GET", "/", HOST, NO_BODY, keep_alive=False) == (
        b"GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n"
    )
    assert encode_request("GET", "/", HOST, NO_BODY, upgrade="websocket") == (
        b"GET / HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    assert encode_request("CONNECT", "a:443", HOST, NO_BODY).startswith(b"CONNECT a:443 HTTP/1.1\r\n")
    assert encode_request("OPTIONS", "*", HOST, NO_BODY).startswith(b"OPTIONS * HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/a b"), ("GET", "/\r\nX: y"), ("GET", ""), ("GET", "/#x"), ("GET", "/\x00"), ("GET", "/é"), ("GET", "/€"),
     ("GET", "/\u010d"), ("CONNECT", "/"), ("CONNECT", "a"), ("CONNECT", "a:1/x"), ("CONNECT", "[::1]"),
     ("CONNECT", ":1"), ("G T", "/"), ("", "/"), ("GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "/")],
)  # fmt: skip
def test_a_policy_can_not_write_outside_its_place(method, path):
    with pytest.raises(ValueError, match="not a method and a request target"):
        encode_request(method, path, HOST, NO_BODY)


def test_an_upgrade_can_not_carry_a_line_break():
    with pytest.raises(ValueError, match="not a protocol"):
        encode_request("GET", "/", HOST, NO_BODY, upgrade="x\r\ny: z")
    with pytest.raises(ValueError, match="not a protocol"):
        encode_response(101, b"", NO_BODY, upgrade="x y")


def test_answers():
    assert encode_response(200, b"A: b\r\n", CHUNKED_BODY) == (
        b"HTTP/1.1 200 OK\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    assert encode_response(404, b"Content-Length: 5\r\n", FIVE, False) == (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nconnection: close\r\n\r\n"
    )
    assert encode_response(299, b"", NO_BODY, True, "1.1", b"x: y\r\n") == b"HTTP/1.1 299 \r\nx: y\r\n\r\n"
    assert encode_response(101, b"", NO_BODY, False, upgrade="websocket") == (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    # the end of the connection is the end of the body, so it is announced whatever was wished
    assert encode_response(200, b"", UNTIL_CLOSE_BODY, True) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    # an interim answer says nothing about the connection: the final one will
    assert encode_response(103, b"", NO_BODY, False) == b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert encode_response(100, b"", NO_BODY) == CONTINUE


def test_http_10_gets_no_chunks():
    # RFC 9112 section 6.1: "MUST NOT send a response containing Transfer-Encoding unless ... HTTP/1.1"
    with pytest.raises(ValueError, match="answer_framing"):
        encode_response(200, b"", CHUNKED_BODY, False, "1.0")


def test_a_status_that_is_none_is_an_error():
    for status in (0, 99, 600):
        with pytest.raises(KeyError):
            encode_response(status, b"", NO_BODY)


@pytest.mark.parametrize(
    ("arrived", "method", "status", "version", "leaves"),
    [
        (FIVE, "GET", 200, "1.1", FIVE),
        (FIVE, "GET", 200, "1.0", FIVE),
        (CHUNKED_BODY, "GET", 200, "1.1", CHUNKED_BODY),
        (CHUNKED_BODY, "GET", 200, "1.0", UNTIL_CLOSE_BODY),
        # a cut connection must not look like the end of the body where that can be had
        (UNTIL_CLOSE_BODY, "GET", 200, "1.1", CHUNKED_BODY),
        (UNTIL_CLOSE_BODY, "GET", 200, "1.0", UNTIL_CLOSE_BODY),
        # RFC 9112 section 6.3, rule 1
        (FIVE, "HEAD", 200, "1.1", NO_BODY),
        (CHUNKED_BODY, "GET", 304, "1.1", NO_BODY),
        (FIVE, "GET", 204, "1.1", NO_BODY),
        (NO_BODY, "CONNECT", 200, "1.1", NO_BODY),
        (NO_BODY, "GET", 101, "1.1", NO_BODY),
    ],
)
def test_framing_towards_the_client(arrived, method, status, version, leaves):
    assert answer_framing(arrived, method, status, version) == leaves


@given(
    st.sampled_from(["GET", "POST", "PUT", "X-Y"]),
    st.from_regex(r"/[!\"$-~]{0,20}", fullmatch=True),
    st.sampled_from([NO_BODY, FIVE, CHUNKED_BODY]),
    st.booleans(),
)
def test_requests_survive_the_way_out_and_in(method, path, framing, keep_alive):
    block = HOST + (b"Content-Length: 5\r\n" if framing is FIVE else b"") + b"X: y\r\n"
    head = parse_request(encode_request(method, path, block, framing, keep_alive=keep_alive))
    assert (head.method, head.path, head.framing, head.keep_alive) == (method, path, framing, keep_alive)
    assert head.headers.block == block


@given(st.integers(200, 599), st.sampled_from([FIVE, CHUNKED_BODY, UNTIL_CLOSE_BODY]), st.booleans())
def test_answers_survive_the_way_out_and_in(status, framing, keep_alive):
    framing = answer_framing(framing, "GET", status, "1.1")
    block = b"Content-Length: 5\r\n" if framing == FIVE else b"A: b\r\n"
    head = parse_response(encode_response(status, block, framing, keep_alive), "GET")
    assert (head.status, head.framing, head.keep_alive) == (status, framing, keep_alive)
    assert head.headers.block == block


def test_a_plain_request_is_what_its_parts_make():
    assert plain_request("PUT", "/x", HOST + b"Content-Length: 2\r\n", b"ab") == (
        encode_request("PUT", "/x", HOST + b"Content-Length: 2\r\n", NO_BODY) + b"ab"
    )
    with pytest.raises(ValueError, match="not a method and a request target"):
        plain_request("GET", "/a b", HOST, b"")


def test_a_plain_answer_says_its_length():
    block = b"Server: a\r\nContent-Length: 2\r\n"
    whole = b"HTTP/1.1 200 OK\r\n" + block + b"\r\nab"
    assert plain_answer(200, block, b"ab") == whole
    assert plain_answer(200, block.lower(), b"ab") is not None
    assert plain_answer(200, block, b"ab", keep_alive=False) == encode_response(200, block, NO_BODY, False) + b"ab"
    for status, body, fields in (
        (200, b"abc", block),
        (204, b"ab", block),
        (304, b"ab", block),
        (101, b"ab", block),
        (200, b"ab", b"Server: a\r\n"),
        (200, b"ab", b"X-Content-Length: 2\r\n"),
    ):
        assert plain_answer(status, fields, body) is None


def test_what_a_codec_found_to_agree_holds_for_these_very_objects_alone():
    block, body = b"X-Length: said elsewhere\r\n", b"ab"  # nothing that could be found by looking
    agreed = (block, body, 200)
    assert plain_answer(200, block, body, agreed) == b"HTTP/1.1 200 OK\r\n" + block + b"\r\nab"
    assert plain_answer(200, block, body, agreed, False) == encode_response(200, block, NO_BODY, False) + b"ab"
    assert plain_answer(200, bytes(bytearray(block)), body, agreed) is None  # a policy has edited the fields
    assert plain_answer(200, block, bytes(bytearray(body)), agreed) is None  # ... or put another body there
    assert plain_answer(204, block, body, agreed) is None  # ... or another status
