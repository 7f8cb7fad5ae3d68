"""Against llhttp, the parser of Node (through httptools, as uvicorn uses it): as `test_wire_h11` does against h11.

Every disagreement is a row: STRICTER, we refuse what llhttp takes; WIDER, we take what llhttp refuses; OTHERWISE, both
take it and mean something else by it. A row has an example, says which messages belong to it, and why it is so. Where
the two disagree over a message that belongs to no row, the test fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
OK_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Belongs = Callable[[bytes], object]


def is_any(wire: bytes) -> bool:
    return True


def matches(pattern: bytes) -> Belongs:
    """A message in which this is found, without regard to case."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL).search


class Row(NamedTuple):
    """One disagreement. `belongs` is asked of messages that disagree so."""

    example: bytes
    why: str
    belongs: Belongs = is_any


# by our reason: llhttp takes it, we do not
STRICTER_REQUESTS = {
    "bad-request-line": Row(
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "llhttp takes more spaces than one, more empty lines than one before it, fragments, and HTTP/0.9",
    ),
    "bad-version": Row(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "llhttp reads 0.9 and 2.0 like 1.1"),
    "bad-target": Row(b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "llhttp looks at the beginning of a target only"),
    "bad-host": Row(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "llhttp leaves Host to its user"),
    "bare-line-feed": Row(
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "llhttp skips bare CR and LF before a request", matches(rb"\A[\r\n]*\n")
    ),
    "bad-content-length": Row(
        GET + b"Content-Length: 0000000000000000000\r\n\r\n",
        "llhttp judges the value, we the number of digits; and it ignores a body that CONNECT announces",
        matches(rb"\ncontent-length:[ \t]*\d{19}|\A(\r\n)?connect "),
    ),
    "bad-transfer-encoding": Row(
        GET + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "that chunked comes last is enough for llhttp, also in another field and in HTTP/1.0; CONNECT as above; and "
        "before an upgrade it does not look at codings",
        matches(
            rb"(\ntransfer-encoding:.*){2}|\ntransfer-encoding:[^\r]*[, \t]chunked"
            rb"| HTTP/1\.0\r|\nupgrade:|\A(\r\n)?connect "
        ),
    ),
    "bad-connection": Row(GET + b"Connection: host\r\n\r\n", "llhttp is not an intermediary and removes nothing"),
    "bad-upgrade": Row(GET + b"Upgrade: a b\r\nConnection: upgrade\r\n\r\n", "llhttp leaves Upgrade to its user"),
    "bad-chunk": Row(
        CHUNKED + b"5;a=\r\nhello\r\n0\r\n\r\n",
        "llhttp takes extensions without a name or a value, and sizes of 16 digits",
        matches(rb";[^\r]*=|;\r|;;|[0-9a-f]{16}"),
    ),
    "forbidden-trailer": Row(CHUNKED + b"0\r\nHost: b\r\n\r\n", "llhttp gives trailers to its user as fields"),
}
STRICTER_ANSWERS = {
    "bad-status-line": Row(
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        "llhttp takes any three digits, line breaks before it, and control characters in the reason",
    ),
    "bad-version": Row(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "as for requests"),
    "bad-transfer-encoding": Row(
        b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "no body, or HTTP/1.0, and yet a coding; else llhttp reads until the end what is not just chunked",
        matches(
            rb"\AHTTP/1.0|\AHTTP/1.. (1..|204)|\ntransfer-encoding:(?![ \t]*chunked\r)|(\ntransfer-encoding:.*){2}"
        ),
    ),
    "bad-content-length": Row(
        b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", "no body, yet a length", matches(rb"\AHTTP/1.. (1..|204)")
    ),
    "bad-connection": Row(OK + b"Connection: host\r\nContent-Length: 0\r\n\r\n", "as for requests"),
    "bad-upgrade": Row(b"HTTP/1.1 101 x\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n", "it knows no request"),
    "bare-line-feed": Row(b"\nHTTP/1.1 204 x\r\n\r\n", "as for requests", matches(rb"\A[\r\n]*\n")),
    "bad-chunk": Row(OK_CHUNKED + b"0;a=\r\n\r\n", "as for requests", matches(rb";[^\r]*=|;\r|;;|[0-9a-f]{16}")),
    "forbidden-trailer": Row(OK_CHUNKED + b"0\r\nHost: b\r\n\r\n", "as for requests"),
}
# by name: we take it, llhttp does not
WIDER = {
    "methods": Row(
        b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
        "llhttp has a list of methods, RFC 9110 section 9.1 has none",
        matches(rb"\A(\r\n)?(?!(GET|POST|OPTIONS|CONNECT) )"),
    ),
    "spaces before a semicolon": Row(
        CHUNKED + b"5 ;a\r\nhello\r\n0\r\n\r\n", "RFC 9112 section 7.1.1 allows them", matches(rb"\n[0-9a-f]+[ \t]+;")
    ),
    "spaces in an extension": Row(
        CHUNKED + b"5;a = b\r\nhello\r\n0\r\n\r\n", "the same", matches(rb"\n[0-9a-f]+;[^\r]*[ \t]")
    ),
    "a tab after the coding": Row(
        GET + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", "RFC 9112 section 5: OWS", matches(rb"chunked[ \t]*\t")
    ),
}
# by name: both take it, and mean something else by it
OTHERWISE = {
    "upgrade with a body": Row(
        GET + b"Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nhello",
        "llhttp stops after the head and leaves all that follows to its user; RFC 9110 section 7.8 has the body first",
        matches(rb"\n(upgrade:.*\n(content-length|transfer-encoding):|(content-length|transfer-encoding):.*\nupgrade:)"),
    ),
}  # fmt: skip


def disagreement(fuzz: Any, read: Any, wire: bytes, stricter: Mapping[str, Row], answers: str = "") -> str:
    """What the two say, where they differ over a message as is not listed; else ""."""
    others = fuzz("others")
    theirs = others.llhttp_reads(wire, bool(answers))
    ours = read([wire], answers=answers)
    if ours.error:
        if theirs == others.REFUSED or theirs is None:
            return ""
        row = stricter.get(ours.error)
        listed = row is not None and row.belongs(wire)
        return "" if listed else f"we refuse it for {ours.error}, llhttp takes it: {theirs}"
    if theirs == others.REFUSED:
        if ours.head is None:  # we judge heads when all of them is there, llhttp byte by byte
            return ""
        return "" if any(row.belongs(wire) for row in WIDER.values()) else f"llhttp refuses it, we take it: {ours}"
    if theirs is None or ours.head is None:
        return "" if theirs is None and ours.head is None else f"complete for one only: {theirs} {ours}"
    head = ours.head
    start = (b"%d" % head.status,) if answers else (head.method.encode(), head.target.encode())
    said = (start, _ours(head), ours.body, ours.done)
    heard = (theirs.start, _theirs(theirs.fields, answers, head), theirs.body, theirs.done)
    if said == heard or any(row.belongs(wire) for row in OTHERWISE.values()):
        return ""
    return f"ours   {said}\nllhttp {heard}"


HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}


def _ours(head: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]


def _theirs(fields: list[tuple[bytes, bytes]], answers: str, head: Any) -> list[tuple[bytes, bytes]]:
    """llhttp's fields without those that a proxy takes off, and with the Host that it adds."""
    named = b",".join(value for name, value in fields if name == b"connection")
    removed = HOP_BY_HOP | {option.strip(b" \t").lower() for option in named.split(b",")}
    if not answers and head.version == "1.0":  # RFC 9110 section 10.1.1: Expect does not exist in 1.0
        removed.add(b"expect")
        if not any(name == b"host" for name, _ in fields):
            fields = [(b"host", head.authority.encode()), *fields]
    if answers and (head.status < 200 or head.status == 204):  # we take a harmless "Content-Length: 0" off
        removed.add(b"content-length")
    return [field for field in fields if field[0] not in removed]


@pytest.mark.parametrize("reason", STRICTER_REQUESTS)
def test_what_we_refuse_and_llhttp_takes_in_requests(reason, read, fuzz):
    row, others = STRICTER_REQUESTS[reason], fuzz("others")
    assert row.why
    assert row.belongs(row.example)
    assert read([row.example]).error == reason
    assert isinstance(others.llhttp_reads(row.example), others.Said)


@pytest.mark.parametrize("reason", STRICTER_ANSWERS)
def test_what_we_refuse_and_llhttp_takes_in_answers(reason, read, fuzz):
    row, others = STRICTER_ANSWERS[reason], fuzz("others")
    assert row.why
    assert row.belongs(row.example)
    assert read([row.example], answers="GET").error == reason
    assert isinstance(others.llhttp_reads(row.example, True), others.Said)


@pytest.mark.parametrize("name", WIDER)
def test_what_we_take_and_llhttp_refuses(name, read, fuzz):
    row, others = WIDER[name], fuzz("others")
    assert row.why
    assert row.belongs(row.example)
    assert read([row.example]).done
    assert others.llhttp_reads(row.example) == others.REFUSED


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_both_take_and_understand_differently(name, read, fuzz):
    row, others = OTHERWISE[name], fuzz("others")
    assert row.why
    assert row.belongs(row.example)
    ours, theirs = read([row.example]), others.llhttp_reads(row.example)
    assert (ours.body, ours.rest) == (b"hello", b"")
    assert (theirs.body, theirs.rest) == (b"", b"hello")


def test_a_disagreement_that_is_not_listed_is_one(read, fuzz):
    for reason, row in STRICTER_REQUESTS.items():
        fewer = {name: other for name, other in STRICTER_REQUESTS.items() if name != reason}
        assert "llhttp takes it" in disagreement(fuzz, read, row.example, fewer)
    assert disagreement(fuzz, read, GET + b"\r\n", {}) == ""


# --- messages made of what parsers differ over ----------------------------------------------------------------------

# fmt: off
REQUEST_LINES = [
    b"GET / HTTP/1.1", b"POST /x?y HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1", b"GET http://a/ HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1", b"\r\nGET / HTTP/1.1", b"GET  / HTTP/1.1", b"G@T / HTTP/1.1", b"BREW / HTTP/1.1",
    b"GET / HTTP/2.0", b"\nGET / HTTP/1.1", b"GET x HTTP/1.1",
]
STATUS_LINES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 x", b"HTTP/1.1 304 x", b"HTTP/1.1 100 x",
    b"HTTP/1.1 500 \xe9", b"HTTP/1.1 099 x", b"HTTP/1.1 20 x", b"HTTP/2.0 200 OK",
]
FIELDS = [
    b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 5, 5", b"Content-Length: 5 ",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: xchunked", b"Connection: close",
    b"Connection: x-a, keep-alive", b"X-A: 1", b"X-B:  \xe9 \t", b"TE: trailers", b"Upgrade: websocket",
    b"Connection: upgrade",
    b"A : x", b" folded", b"Expect: 100-continue", b": x", b"Host: b", b"X: \x00", b"X: \x01", b"X: a\rb",
]
BODIES = [
    b"", b"hello", b"hello world", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"g\r\n",
    b"0\r\nX: y\r\n\r\nGET", b"5\r\nhelloXX", b"+5\r\nhello\r\n", b"0005\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n",
    b"0\r\nX : y\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a=\"b\"\r\nhello\r\n0\r\n\r\n", b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
]
# fmt: on


def messages(first: list[bytes], host: list[bytes]) -> st.SearchStrategy[bytes]:
    def build(first: bytes, fields: list[bytes], body: bytes, edit: tuple[int, bytes] | None) -> bytes:
        wire = b"\r\n".join([first, *host, *fields, b"", body])
        if edit is not None:
            at = edit[0] % len(wire)
            wire = wire[:at] + edit[1] + wire[at + 1 :]
        return wire

    edit = st.one_of(st.none(), st.tuples(st.integers(0, 300), st.binary(max_size=2)))
    fields = st.lists(st.sampled_from(FIELDS), max_size=4)
    return st.builds(build, st.sampled_from(first), fields, st.sampled_from(BODIES), edit)


@settings(max_examples=1000, deadline=None, derandomize=True)  # always the same ones: `make fuzz` looks for others
@given(messages(REQUEST_LINES, [b"Host: a"]))
@example(GET + b"Connection: upgrade\r\nUpgrade: foo\r\n\r\nhello")
def test_requests_mean_the_same_to_both(fuzz, read, wire):
    assert disagreement(fuzz, read, wire, STRICTER_REQUESTS) == ""


@settings(max_examples=1000, deadline=None, derandomize=True)  # always the same ones: `make fuzz` looks for others
@given(messages(STATUS_LINES, []))
def test_answers_mean_the_same_to_both(fuzz, read, wire):
    assert disagreement(fuzz, read, wire, STRICTER_ANSWERS, "GET") == ""
