"""Every limit at one below, exactly at, and one above it; and that a head is refused before it is complete."""

from __future__ import annotations

import pytest
from tulle_data_plane.wire.facts import MOST_ELEMENTS
from tulle_data_plane.wire.http1 import ChunkedDecoder, Limits, PartialHead, ProtocolError, find_head_end

SMALL = Limits(request_line=40, head=200, fields=5, chunk_extensions=30, trailers=60)


def request_line(size: int) -> bytes:
    return b"GET /" + b"x" * (size - 14) + b" HTTP/1.1"


def head_of(size: int) -> bytes:
    start, end = b"GET / HTTP/1.1\r\nHost: a\r\nA: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "uri-too-long"), (2, "uri-too-long")])
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_request_line(over, reason, before, three_ways):
    # RFC 9112 section 3: a server answers 414 to a longer target than it wishes to parse
    line = request_line(SMALL.request_line + over)
    assert len(line) == SMALL.request_line + over
    assert three_ways(before + line + b"\r\nHost: a\r\n\r\n", limits=SMALL).error == reason


def test_an_endless_request_line_is_refused_at_the_limit(read):
    # not at the end of a line that never comes
    endless = b"GET /" + b"x" * 1000
    needed = next(n for n in range(len(endless)) if read([endless[:n]], limits=SMALL).error)
    assert needed == SMALL.request_line + 2  # the byte at the limit might have been the CR
    assert read([bytes([byte]) for byte in endless], limits=SMALL).error == "uri-too-long"


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "bad-status-line")])
def test_status_line(over, reason, three_ways):
    line = b"HTTP/1.1 204 " + b"x" * (SMALL.request_line + over - 13)
    assert three_ways(line + b"\r\n\r\n", limits=SMALL, answers="GET").error == reason


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "head-too-large"), (100, "head-too-large")])
def test_head(over, reason, three_ways):
    # RFC 6585 section 5
    wire = head_of(SMALL.head + over)
    assert len(wire) == SMALL.head + over
    result = three_ways(wire, limits=SMALL)
    assert (result.error, result.head is None) == (reason, bool(reason))


def test_an_endless_head_is_refused_at_the_limit(read):
    endless = b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 1000
    needed = next(n for n in range(len(endless)) if read([endless[:n]], limits=SMALL).error)
    assert needed == SMALL.head + 1
    assert read([bytes([byte]) for byte in endless], limits=SMALL).error == "head-too-large"


def test_the_head_limit_counts_from_the_head_not_from_the_buffer():
    buffer = b"x" * 500 + head_of(SMALL.head)
    assert find_head_end(buffer, 500, SMALL) == len(buffer)
    with pytest.raises(ProtocolError, match="head-too-large"):
        find_head_end(b"x" * 500 + head_of(SMALL.head + 1), 500, SMALL)


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "too-many-fields")])
def test_fields(over, reason, three_ways):
    wire = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: x\r\n" * (SMALL.fields + over - 1) + b"\r\n"
    for _ in range(3):  # also when the section is remembered
        assert three_ways(wire, limits=SMALL).error == reason


@pytest.mark.parametrize(
    "wire",
    [
        request_line(41) + b"\r\nHost: a\r\n\r\n",
        head_of(201),
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: x\r\n" * 5 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 30 + b"\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"x" * 60 + b"\r\n\r\n",
    ],
)
def test_it_is_the_limit_that_refuses(wire, three_ways):
    # the defence switched off: the same bytes pass
    assert three_ways(wire, limits=SMALL).error != ""
    assert three_ways(wire).error == ""


def test_a_remembered_section_is_held_to_the_limits_of_the_moment(read):
    wire = b"GET / HTTP/1.1\r\nHost: limits-of-the-moment\r\n" + b"A: x\r\n" * 7 + b"\r\n"
    for _ in range(3):
        assert read([wire]).error == ""
    assert read([wire], limits=SMALL).error == "too-many-fields"


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "chunk-extensions-too-large")])
def test_chunk_extensions_of_one_chunk(over, reason, three_ways):
    # RFC 9112 section 7.1.1: "ought to limit the total length of chunk extensions"
    extension = b";" + b"x" * (SMALL.chunk_extensions + over - 1)
    wire = CHUNKED_HEAD + b"1" + extension + b"\r\na\r\n0\r\n\r\n"
    assert three_ways(wire, limits=SMALL).error == reason


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "chunk-extensions-too-large")])
def test_chunk_extensions_of_all_chunks_together(over, reason, three_ways):
    last = b";" + b"x" * (SMALL.chunk_extensions - 20 + over - 1)
    wire = CHUNKED_HEAD + b"1;x\r\na\r\n" * 10 + b"0" + last + b"\r\n\r\n"
    assert three_ways(wire, limits=SMALL).error == reason


def feed(data: bytes, size: int) -> None:
    decoder = ChunkedDecoder(SMALL)
    for at in range(0, len(data), size):
        decoder.feed(data[at : at + size])


def test_an_endless_chunk_extension_is_refused_at_the_limit():
    for size in (1, 1000):
        with pytest.raises(ProtocolError, match="chunk-extensions-too-large"):
            feed(b"1;" + b"x" * 1000, size)


def test_an_endless_chunk_size_is_refused_at_once():
    for size in (1, 1000):
        with pytest.raises(ProtocolError, match="bad-chunk"):
            feed(b"0" * 16, size)


@pytest.mark.parametrize("start", [b"h", b"\r", b" ", b"5x", b"5\rx", b"-", b"5+", b"\n"])
def test_what_can_not_become_a_chunk_size_is_refused_at_once(start):
    # not at the end of a line that may never come
    for size in (1, 1000):
        with pytest.raises(ProtocolError, match="bad-chunk"):
            feed(start, size)


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "trailers-too-large"), (50, "trailers-too-large")])
def test_trailers(over, reason, three_ways):
    trailers = b"A: " + b"x" * (SMALL.trailers + over - 7) + b"\r\n\r\n"
    assert len(trailers) == SMALL.trailers + over
    assert three_ways(CHUNKED_HEAD + b"0\r\n" + trailers, limits=SMALL).error == reason


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "trailers-too-large")])
def test_number_of_trailers(over, reason, three_ways):
    trailers = b"A: x\r\n" * (SMALL.fields + over) + b"\r\n"
    assert three_ways(CHUNKED_HEAD + b"0\r\n" + trailers, limits=SMALL).error == reason


CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "bad-connection")])
@pytest.mark.parametrize("lines", [1, 2])
def test_connection_options(over, reason, lines, three_ways):
    half = MOST_ELEMENTS // lines
    fields = b"Connection: " + b",".join([b"x"] * half) + b"\r\n"
    more = b"Connection: " + b",".join([b"x"] * (half + over)) + b"\r\n"
    wire = b"GET / HTTP/1.1\r\nHost: a\r\n" + fields * (lines - 1) + more + b"\r\n"
    assert three_ways(wire).error == reason


@pytest.mark.parametrize(("over", "reason"), [(-1, ""), (0, ""), (1, "bad-upgrade")])
def test_upgrade_protocols(over, reason, three_ways):
    protocols = b",".join([b"x"] * (MOST_ELEMENTS + over - 1))
    upgrade = b"Connection: upgrade\r\nUpgrade: y\r\nUpgrade: " + protocols + b"\r\n"
    assert three_ways(b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n").error == reason


@pytest.mark.parametrize(("digits", "reason"), [(17, ""), (18, ""), (19, "bad-content-length")])
def test_content_length_digits(digits, reason, read):
    wire = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * digits + b"\r\n\r\n"
    assert read([wire]).error == reason


@pytest.mark.parametrize(("digits", "reason"), [(14, ""), (15, ""), (16, "bad-chunk")])
def test_chunk_size_digits(digits, reason, read):
    assert read([CHUNKED_HEAD + b"f" * digits + b"\r\nabc"]).error == reason


def test_a_head_that_comes_byte_by_byte_is_not_searched_again_and_again():
    # the work is counted, not timed: every byte that find_head_end looks at, it looks at once (and three before it)
    class Counted(bytearray):
        looked_at = 0

        def find(self, what, start=0, end=None):
            end = len(self) if end is None else end
            found = super().find(what, start, end)
            Counted.looked_at += (found if found >= 0 else end) - start
            return found

    partial = PartialHead()
    partial.data = Counted()
    wire = b"GET / HTTP/1.1\r\n" + b"A: x\r\n" * 500
    for at in range(len(wire)):
        assert partial.add(wire[at : at + 1]) == -1
    # the end of the first line is looked for again whenever a line ends: 16 bytes for each
    assert Counted.looked_at < 10 * len(wire)
