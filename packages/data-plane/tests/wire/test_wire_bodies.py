"""Bodies by length, until close and chunked, and chunks as we send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_data_plane.wire.chunked import FORBIDDEN_TRAILERS
from tulle_data_plane.wire.http1 import (
    CHUNKED_BODY,
    LAST_CHUNK,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE_BODY,
    ChunkedDecoder,
    Framing,
    LengthDecoder,
    ProtocolError,
    UntilCloseDecoder,
    body_decoder,
    encode_chunk,
    encode_last_chunk,
)
from tulle_plugin_api import Headers


def chunked(data: bytes, size: int) -> tuple[bytes, bytes, list[tuple[str, str]] | None, str]:
    """(payload, leftover, trailers, error) of a chunked body that arrives `size` bytes at a time."""
    decoder = ChunkedDecoder()
    pieces = []
    try:
        for at in range(0, len(data), size):
            pieces += decoder.feed(data[at : at + size])
        decoder.finish()
    except ProtocolError as error:
        return b"", b"", None, error.reason
    assert decoder.done
    trailers = None if decoder.trailers is None else list(decoder.trailers)
    return b"".join(pieces), decoder.leftover, trailers, ""


# fmt: off
WHOLE = [
    # RFC 9112 section 7.1
    (b"0\r\n\r\n", b"", None),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", None),
    (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", None),
    (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", None),
    (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", None),
    (b"00000000000000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", None),  # 15 digits
    (b"5\r\nhello\r\n000\r\n\r\n", b"hello", None),
    (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", None),  # payload that looks like the end
    # section 7.1.1: extensions are checked and dropped
    (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello", None),
    (b"5;a;b=c;d=\"e\\\"; \t\xe9\"\r\nhello\r\n0\r\n\r\n", b"hello", None),
    (b"5 ; a = b\t;c\r\nhello\r\n0\r\n\r\n", b"hello", None),
    # section 7.1.2: trailers
    (b"0\r\nX-Sum: 1\r\ny:\r\n\r\n", b"", [("X-Sum", "1"), ("y", "")]),
    (b"1\r\na\r\n0\r\nGrpc-Status: 0\r\n\r\n", b"a", [("Grpc-Status", "0")]),
]

BROKEN = [
    # section 7.1: sizes
    *[(size + b"\r\nhello\r\n0\r\n\r\n", "bad-chunk") for size in (
        b"", b" 5", b"5 ", b"+5", b"-5", b"0x5", b"5h", b"h", b"5_0", b"5.", b"\xb2", b"5,5", b"0000000000000005",
        b"1" + b"0" * 15, b"f" * 16, b"5;", b"5;=b", b"5;a=", b"5;a b", b"5;a=\"b", b"5;a=\"\x00\"", b"5;\xe9", b"5 a",
        b"5\r", b"5;a\r", b"5;a=\"\r\"", b"\r\n5")],
    # section 2.2: bare LF, also inside an extension, where some parsers end the line and some do not
    (b"5\nhello\r\n0\r\n\r\n", "bad-chunk"),
    (b"5;a\nhello\r\n0\r\n\r\n", "bad-chunk"),
    (b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", "bad-chunk"),
    # the CRLF after the payload
    (b"5\r\nhello0\r\n\r\n", "bad-chunk"),
    (b"5\r\nhello\n0\r\n\r\n", "bad-chunk"),
    (b"5\r\nhello\r0\r\n\r\n", "bad-chunk"),
    (b"5\r\nhelloXX0\r\n\r\n", "bad-chunk"),
    (b"4\r\nhello\r\n0\r\n\r\n", "bad-chunk"),
    (b"6\r\nhello\r\n0\r\n\r\n", "bad-chunk"),
    # trailers
    (b"0\r\nA : x\r\n\r\n", "bad-trailer"),
    (b"0\r\n A: x\r\n\r\n", "bad-trailer"),
    (b"0\r\nA: x\r\n y\r\n\r\n", "bad-trailer"),
    (b"0\r\nA: x\nB: y\r\n\r\n", "bad-trailer"),
    (b"0\r\nA: x\n", "bad-trailer"),  # at once: the empty line that would end it may never come
    (b"0\r\n\n", "bad-trailer"),
    (b"0\r\nA\r\n\r\n", "bad-trailer"),
    (b"0\r\nA: \x00\r\n\r\n", "bad-trailer"),
    (b"0\r\nA: \x7f\r\n\r\n", "bad-trailer"),
    (b"0\r\nA: x\ry\r\n\r\n", "bad-trailer"),  # RFC 9112 section 2.2: bare CR
    (b"0\r\n: x\r\n\r\n", "bad-trailer"),
    (b"0\r\n\tA: x\r\n\r\n", "bad-trailer"),
    (b"0\r\nX: y\r\ncontent-LENGTH: 5\r\n\r\n", "forbidden-trailer"),
    *[(b"0\r\n" + name.title() + b": x\r\n\r\n", "forbidden-trailer") for name in sorted(FORBIDDEN_TRAILERS)],
    # section 8: the end is missing
    (b"", "truncated-body"),
    (b"5", "truncated-body"),
    (b"5\r\nhel", "truncated-body"),
    (b"5\r\nhello\r", "truncated-body"),
    (b"5\r\nhello\r\n", "truncated-body"),
    (b"5\r\nhello\r\n0\r\n", "truncated-body"),
    (b"5\r\nhello\r\n0\r\n\r", "truncated-body"),
    (b"0\r\nA: x\r\n", "truncated-body"),
]
# fmt: on


@pytest.mark.parametrize(("wire", "payload", "trailers"), WHOLE)
def test_chunked_bodies(wire, payload, trailers):
    for size in (len(wire), 1, 2, 3, 7):
        assert chunked(wire, size) == (payload, b"", trailers, "")
    for size in (len(wire) + 9, 1):
        assert chunked(wire + b"GET / HTTP", size) == (payload, b"GET / HTTP", trailers, "")


@pytest.mark.parametrize(("wire", "reason"), BROKEN)
def test_broken_chunked_bodies(wire, reason):
    for size in (len(wire) or 1, 1, 2, 3, 7):
        assert chunked(wire, size)[3] == reason


@given(st.lists(st.binary(min_size=1, max_size=300)), st.lists(st.integers(1, 40), min_size=1), st.binary())
def test_what_we_encode_decodes_however_it_is_cut(pieces, cuts, after):
    trailers = Headers.of([("x-sum", "1")])
    wire = b"".join(encode_chunk(piece) for piece in pieces) + encode_last_chunk(trailers) + after
    decoder, got, at = ChunkedDecoder(), [], 0
    for turn in range(len(wire)):
        if at >= len(wire):
            break
        step = cuts[turn % len(cuts)]
        got += decoder.feed(wire[at : at + step])
        at += step
    assert b"".join(got) == b"".join(pieces)
    assert (decoder.done, decoder.leftover) == (True, after)
    assert decoder.trailers == trailers
    assert b"" not in got


def test_a_payload_within_one_read_is_not_copied():
    decoder = ChunkedDecoder()
    assert decoder.feed(b"10000\r\n") == []
    read = b"x" * 0x8000
    assert decoder.feed(read)[0] is read
    body = LengthDecoder(0x10000)
    assert body.feed(read)[0] is read
    assert UntilCloseDecoder().feed(read)[0] is read


def test_chunks_as_sent():
    assert encode_chunk(b"hello world, hello") == b"12\r\nhello world, hello\r\n"
    assert encode_chunk(b"") == b""  # an empty chunk would end the body
    assert encode_last_chunk() == LAST_CHUNK == b"0\r\n\r\n"
    assert encode_last_chunk(Headers.of([("grpc-status", "0")])) == b"0\r\ngrpc-status: 0\r\n\r\n"


def test_length_is_exact():
    # RFC 9112 section 6.2
    body = LengthDecoder(5)
    assert body.feed(b"he") == [b"he"]
    assert body.feed(b"") == []
    assert not body.done
    assert body.feed(b"lloGET") == [b"llo"]
    assert (body.done, body.leftover, body.trailers) == (True, b"GET", None)
    assert body.feed(b" /") == []
    assert body.leftover == b"GET /"
    body.finish()


def test_length_zero_is_done_at_once():
    body = LengthDecoder(0)
    assert body.done
    assert body.feed(b"x") == []
    assert body.leftover == b"x"
    body.finish()


def test_a_short_body_is_truncated_and_not_complete():
    # RFC 9112 section 8: "MUST NOT be treated as complete"
    body = LengthDecoder(5)
    body.feed(b"hell")
    with pytest.raises(ProtocolError, match="truncated-body: 1 bytes of the body are missing"):
        body.finish()
    assert not body.done


def test_until_close_is_done_when_the_connection_is():
    body = UntilCloseDecoder()
    assert body.feed(b"a") == [b"a"]
    assert not body.done
    body.finish()
    assert body.done


def test_a_decoder_for_each_framing():
    assert body_decoder(NO_BODY).done
    assert body_decoder(Framing(LENGTH, 0)).done
    assert isinstance(body_decoder(Framing(LENGTH, 3)), LengthDecoder)
    assert isinstance(body_decoder(CHUNKED_BODY), ChunkedDecoder)
    assert isinstance(body_decoder(UNTIL_CLOSE_BODY), UntilCloseDecoder)
