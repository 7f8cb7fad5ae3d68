"""Whatever arrives, only ProtocolError escapes, and nothing depends on how the bytes were cut.

Bytes are random, or a good message with random edits. The cuts are random too, where the other tests cut everywhere.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tulle_data_plane.wire.detect import detect
from tulle_data_plane.wire.http1 import ChunkedDecoder, Limits, ProtocolError, parse_request, parse_response

SMALL = Limits(request_line=60, head=150, fields=6, chunk_extensions=12, trailers=40)

# fmt: off
REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"x" * 200,
    b"GET /" + b"x" * 60 + b" HTTP/1.1\nHost: a\r\n\r\n",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nto the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
]
# fmt: on


def edited(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    def edit(wire: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        for at, removed, inserted in edits:
            at %= len(wire) + 1
            wire = wire[:at] + inserted + wire[at + removed :]
        return wire

    piece = st.one_of(st.sampled_from([b"\r", b"\n", b"\r\n", b":", b" ", b";", b"0", b"\x00"]), st.binary(max_size=4))
    edits = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), piece), max_size=4)
    return st.one_of(st.builds(edit, st.sampled_from(seeds), edits), st.binary(max_size=200))


cuts = st.lists(st.integers(1, 60), min_size=1, max_size=6)


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    result, at, turn = [], 0, 0
    while at < len(wire):
        result.append(wire[at : at + cuts[turn % len(cuts)]])
        at += len(result[-1])
        turn += 1
    return result


@settings(max_examples=500, deadline=None)
@given(edited(REQUESTS), cuts, st.booleans())
@example(b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", [17], False)
@example(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [1], False)
def test_requests_do_not_depend_on_cuts(read, same_outcome, wire, cuts, small):
    limits = SMALL if small else Limits()
    assert same_outcome(read([wire], limits=limits), read(pieces(wire, cuts), limits=limits))


@settings(max_examples=500, deadline=None)
@given(edited(ANSWERS), cuts, st.booleans(), st.sampled_from(["GET", "HEAD", "CONNECT"]))
def test_answers_do_not_depend_on_cuts(read, same_outcome, wire, cuts, small, method):
    options = {"limits": SMALL if small else Limits(), "answers": method, "ended": True}
    assert same_outcome(read([wire], **options), read(pieces(wire, cuts), **options))


@settings(max_examples=500, deadline=None)
@given(edited([wire.partition(b"\r\n\r\n")[2] for wire in (REQUESTS[2], ANSWERS[1])]), cuts)
def test_chunked_bodies_do_not_depend_on_cuts(wire, cuts):
    def outcome(parts: list[bytes]) -> tuple[object, ...]:
        decoder, got = ChunkedDecoder(SMALL), b""
        try:
            for part in parts:
                got += b"".join(decoder.feed(part))
        except ProtocolError as error:
            return (error.reason,)
        return got, decoder.done, decoder.leftover, decoder.trailers

    assert outcome([wire]) == outcome(pieces(wire, cuts))


@settings(max_examples=500, deadline=None)
@given(edited([*REQUESTS, *ANSWERS]))
@pytest.mark.parametrize("parse", [parse_request, lambda head: parse_response(head, "GET", asked_upgrade="x")])
def test_parsers_are_total_even_on_what_is_no_head(parse, wire):
    try:
        parse(wire)
    except ProtocolError:
        return
    assert wire.endswith(b"\r\n\r\n")
    assert wire.removeprefix(b"\r\n").count(b"\r\n\r\n") == 1


@given(edited([*REQUESTS, *ANSWERS]))
def test_detection_is_total(wire):
    detect(wire)
