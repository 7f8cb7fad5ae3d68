"""What must hold of the codec for all bytes: a function of bytes for each part of it, AssertionError where it does not.

Owns the invariants and the table `TARGETS`. Only ProtocolError may be raised by what reads; anything else that escapes
is a finding, too. Refuses to know how inputs are found: `run` asks libFuzzer, tests/wire/test_wire_fuzz_targets.py the
seeds and rows of earlier findings.

The first byte of an input holds options (limits, method and the like), so that one input is one bytes object.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tulle_data_plane.wire.bodies import body_decoder
from tulle_data_plane.wire.detect import MOST, Protocol, detect
from tulle_data_plane.wire.http1 import (
    CHUNKED,
    CHUNKED_BODY,
    DEFAULT_LIMITS,
    LAST_CHUNK,
    LENGTH,
    NONE,
    UNTIL_CLOSE,
    ChunkedDecoder,
    Limits,
    ProtocolError,
    RequestParser,
    ResponseParser,
    answer_framing,
    encode_chunk,
    find_head_end,
    parse_request,
    plain_answer,
)
from tulle_plugin_api import Headers

from . import seeds
from .encode import check_encode
from .forward import answer_on, request_on
from .others import (
    LLHTTP_METHODS,
    NEXT_ANSWER,
    NEXT_REQUEST,
    REFUSED,
    Said,
    h11_reads,
    llhttp_reads,
)
from .reading import Read, read_message, same

SMALL = Limits(request_line=60, head=150, fields=6, chunk_extensions=12, trailers=40)
METHODS = ("GET", "HEAD", "CONNECT", "POST")
UPGRADES = ("", "websocket", "websocket, foo/2", "foo")


# They live on from one input to the next, as a proxy's do: what they remember may never be wrong for another input.
REQUESTS = {limits: RequestParser(limits) for limits in (SMALL, DEFAULT_LIMITS)}
ANSWERS = {limits: ResponseParser(limits) for limits in (SMALL, DEFAULT_LIMITS)}


class Target(NamedTuple):
    """One part of the codec."""

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]  # what libFuzzer may insert: the words of this grammar


def cuts(wire: bytes) -> list[list[bytes]]:
    """The wire cut in three ways: byte by byte, in halves, and as its own checksum says. Each is the same anew."""
    chance = random.Random(zlib.crc32(wire))
    pieces, at = [], 0
    while at < len(wire):
        step = chance.choice((1, 1, 2, 3, 5, 8, 40, 200))
        pieces.append(wire[at : at + step])
        at += step
    half = len(wire) // 2
    return [[wire[at : at + 1] for at in range(len(wire))], [wire[:half], wire[half:]], pieces]


def _read_however_cut(wire: bytes, limits: Limits, answers: str = "", asked: str = "", ended: bool = False) -> Read:
    whole = read_message([wire], limits, answers, asked, ended)
    for pieces in cuts(wire):
        other = read_message(pieces, limits, answers, asked, ended)
        assert same(whole, other), f"cut as {pieces}: {other}\nwhole: {whole}"
    again = read_message([wire], limits, answers, asked, ended)
    assert same(whole, again), f"the second time: {again}\nthe first time: {whole}"
    if whole.done and not whole.error and not ended:
        more = read_message([wire + b"\r\nmore"], limits, answers, asked)
        assert same(more, whole._replace(rest=whole.rest + b"\r\nmore")), f"with more: {more}\nwhole: {whole}"
    return whole


def _lower(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _without(fields: list[tuple[bytes, bytes]], *names: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in fields if field[0] not in names]


# --- requests -------------------------------------------------------------------------------------------------------


def check_request_head(data: bytes) -> None:
    """However it is cut, a request means the same; and what is sent on of it means that to everybody."""
    options, wire = data[0] if data else 0, data[1:]
    limits = SMALL if options & 1 else DEFAULT_LIMITS
    read = _read_however_cut(wire, limits)
    head, parser = read.head, REQUESTS[limits]
    if head is None:
        assert wire not in parser.known
    else:
        raw = wire[: find_head_end(wire, 0, limits)]
        for _ in range(3):  # the second time it is remembered, the third it is known
            assert repr(parser.parse(raw)) == repr(parser.known.get(raw, head)) == repr(head)
    if read.error or head is None or not read.done:
        return
    assert len(head.headers) <= DEFAULT_LIMITS.fields + 1
    sent = request_on(head, read.body)
    # nothing else than one message, to ourselves
    back = read_message([sent + NEXT_REQUEST])
    assert (back.error, back.done, back.rest, back.body) == ("", True, NEXT_REQUEST, read.body), f"{sent!r} is {back}"
    facts = ("method", "framing", "upgrade", "path")
    assert [getattr(back.head, name) for name in facts] == [getattr(head, name) for name in facts]
    assert list(back.head.headers) == list(head.headers)
    assert back.head.keep_alive == (head.method != "CONNECT")
    assert back.head.authority == (head.headers.get("host") or "").lower() or head.method == "CONNECT"
    assert request_on(back.head, back.body) == sent, "sent on twice is not what is sent on once"
    # and to others
    path = head.path or head.authority
    theirs = h11_reads(sent + NEXT_REQUEST)
    said = Said((head.method.encode(), path.encode()), _lower(head.headers), read.body, True, NEXT_REQUEST)
    _agrees("h11", theirs, said, sent)
    if head.method in LLHTTP_METHODS:
        if head.upgrade or head.method == "CONNECT":
            said = said._replace(body=b"", rest=read.body + NEXT_REQUEST)
            if head.framing.kind == CHUNKED:
                said = said._replace(rest=None)
        _agrees("llhttp", llhttp_reads(sent + NEXT_REQUEST), said, sent)


HOP_BY_HOP = (b"connection", b"upgrade", b"transfer-encoding")


def _agrees(who: str, theirs: Said | str | None, ours: Said, sent: bytes) -> None:
    assert isinstance(theirs, Said), f"{who} says {theirs or 'incomplete'} of {sent!r}"
    if ours.rest is None:  # not told by us
        theirs = theirs._replace(rest=None)
    theirs = theirs._replace(fields=_without(theirs.fields, *HOP_BY_HOP))
    ours = ours._replace(fields=_without(ours.fields, *HOP_BY_HOP))
    assert theirs == ours, f"{who}: {theirs}\nours: {ours}\nsent: {sent!r}"


# --- answers --------------------------------------------------------------------------------------------------------


def check_response_head(data: bytes) -> None:
    """The same of answers, to clients of both versions."""
    options, wire = data[0] if data else 0, data[1:]
    limits = SMALL if options & 1 else DEFAULT_LIMITS
    method, asked, ended = METHODS[options >> 1 & 3], UPGRADES[options >> 3 & 3], bool(options & 32)
    read = _read_however_cut(wire, limits, method, asked, ended)
    head, parser = read.head, ANSWERS[limits]
    if head is not None:
        raw = wire[: find_head_end(wire, 0, limits, too_long="bad-status-line")]
        for _ in range(3):
            assert repr(parser.parse(raw, method, asked)) == repr(head)
            if method in ("GET", "POST") and not asked:
                assert repr(parser.known.get(raw, head)) == repr(head)
    if read.error or head is None or not (read.done or head.framing.kind == UNTIL_CLOSE):
        return
    assert not (head.keep_alive and head.framing.kind == UNTIL_CLOSE)
    for version in ("1.1", "1.0"):
        if head.status < 200 and version == "1.0":  # RFC 9110 section 15.2: not to a 1.0 client
            continue
        framing = answer_framing(head.framing, method, head.status, version)
        sent = answer_on(head, read.body, method, version)
        if version == "1.1" and method != "HEAD" and read.body:  # the shortcut says the same, or nothing
            plain = plain_answer(head.status, head.headers.block, read.body)
            assert plain is None or (plain == sent and framing.kind == LENGTH), f"{plain!r}\n{sent!r}"
        ends = framing.kind == UNTIL_CLOSE
        rest = b"" if ends else NEXT_ANSWER
        back = read_message([sent + rest], answers=method, asked_upgrade=asked, ended=ends)
        assert (back.error, back.done, back.rest, back.body) == ("", True, rest, read.body), f"{sent!r} is {back}"
        assert (back.head.status, back.head.framing) == (head.status, framing)
        assert (back.head.upgrade, back.head.informational) == (head.upgrade, head.informational)
        assert list(back.head.headers) == list(head.headers)
        if framing.kind == NONE and head.status >= 200 and method == "CONNECT" and head.status < 300:
            continue  # a tunnel
        # a tunnel's bytes and h11's own rule (100 to 199 are interim, 101 only when asked for) are the same as ours
        said = Said((b"%d" % head.status,), _lower(head.headers), read.body, True, rest)
        _agrees("h11", h11_reads(sent + rest, method, asked, ended=ends), said, sent)
        if method in ("GET", "POST") and not ends:  # llhttp is not told of HEAD, nor of the connection's end
            _agrees("llhttp", llhttp_reads(sent + rest, answers=True), said, sent)


# --- chunked bodies -------------------------------------------------------------------------------------------------


class Chunks(NamedTuple):
    """What came of a chunked body."""

    body: bytes = b""
    done: bool = False
    leftover: bytes = b""
    trailers: Headers | None = None
    error: str = ""


def _chunks(pieces: Sequence[bytes], limits: Limits) -> Chunks:
    decoder, body = body_decoder(CHUNKED_BODY, limits), b""
    assert isinstance(decoder, ChunkedDecoder)
    most = limits.trailers + limits.chunk_extensions + 20
    try:
        for piece in pieces:
            parts = decoder.feed(piece)
            assert b"" not in parts, "an empty piece would end the body where it is sent on as a chunk"
            assert len(decoder._pending) <= most, "it gathers more than its limits allow"
            body += b"".join(parts)
    except ProtocolError as error:
        return Chunks(error=error.reason)
    return Chunks(body, decoder.done, decoder.leftover, decoder.trailers)


CHUNKED_REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def check_chunked(data: bytes) -> None:
    """However it is cut, the same payload; and whoever else can read it, reads that and ends where we end."""
    options, wire = data[0] if data else 0, data[1:]
    limits = SMALL if options & 1 else DEFAULT_LIMITS
    whole = _chunks([wire], limits)
    for pieces in cuts(wire):
        other = _chunks(pieces, limits)
        assert other == whole, f"cut as {pieces}: {other}\nwhole: {whole}"
    if not whole.done:
        return
    assert _chunks([wire + b"more"], limits) == whole._replace(leftover=whole.leftover + b"more")
    again = b"".join(encode_chunk(piece) for piece in (whole.body[:3], whole.body[3:])) + LAST_CHUNK
    assert _chunks([again + b"more"], DEFAULT_LIMITS) == Chunks(whole.body, True, b"more")
    message = CHUNKED_REQUEST + wire[: len(wire) - len(whole.leftover)] + NEXT_REQUEST
    for who, theirs in (("h11", h11_reads(message)), ("llhttp", llhttp_reads(message))):
        if theirs == REFUSED:
            continue  # stricter than we are: it can not be misled
        assert isinstance(theirs, Said), f"{who} waits for more of {message!r}"
        assert (theirs.body, theirs.done, theirs.rest) == (whole.body, True, NEXT_REQUEST), f"{who}: {theirs}"


# --- detection ------------------------------------------------------------------------------------------------------


# What llhttp takes for a target and we do not: a scheme that is not HTTP's (RTSP and SIP look so), and "*x" but for
# OPTIONS (SQL looks so). HTTP/0.9, which llhttp reads too, is left out: servers do not keep its connections.
_SCHEME = re.compile(rb"(?!https?://)[A-Za-z]+://", re.IGNORECASE)


def check_detect(data: bytes) -> None:
    """It is total, does not change its mind, and takes nothing for opaque that a server would serve as a request."""
    answers = [detect(data[:size]) for size in range(min(len(data), MOST + 2) + 1)]
    decided = [answer for answer in answers if answer is not None]
    assert len(set(decided)) <= 1, f"it changes its mind: {answers}"
    assert answers == [None] * (len(answers) - len(decided)) + decided
    found = detect(data)
    assert found is (decided[0] if decided else None)
    assert found is not None or len(data) < MOST, "undecided for ever"
    if found is Protocol.HTTP1:
        return
    try:
        end = find_head_end(data)
        head = parse_request(data[:end]) if end >= 0 else None
    except ProtocolError:
        head = None
    assert head is None or len(head.method) > 32, f"{found} would pass unread, the codec reads it as {head}"
    theirs = llhttp_reads(data)
    if isinstance(theirs, Said) and b" HTTP/1." in data and not _SCHEME.match(theirs.start[1]):
        method, target = theirs.start
        if target.startswith(b"*") and target != b"*" and method != b"OPTIONS":
            return
        assert found is None, f"{found} would pass unread, llhttp reads it as {theirs}"


# --- all of them ----------------------------------------------------------------------------------------------------

TARGETS: dict[str, Target] = {
    "request-head": Target(check_request_head, seeds.requests(), seeds.WORDS),
    "response-head": Target(check_response_head, seeds.answers(), seeds.WORDS),
    "chunked": Target(check_chunked, seeds.chunked(), seeds.CHUNK_WORDS),
    "detect": Target(check_detect, seeds.FIRST_BYTES, seeds.FIRST_WORDS),
    "encode": Target(check_encode, seeds.ENCODED, seeds.WORDS),
}
