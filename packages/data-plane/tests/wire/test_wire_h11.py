"""Against h11, a parser by other people: where the two disagree, the disagreement is listed here with its reason.

Two ways to disagree: we refuse what h11 takes (`STRICTER`), or take what it refuses (`WIDER`). What both take they must
understand alike: method, target, version, fields, body, trailers, and whether the message is complete.
"""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HOST = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
BOTH = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"

# our reason -> (a request which h11 takes, why we do not)
STRICTER_REQUESTS = {
    "bare-line-feed": (b"GET / HTTP/1.1\nHost: a\n\n", "h11 ends lines at LF; where others do not, fields are hidden"),
    "bad-field": (GET + b"A: x\r\n y\r\n\r\n", "h11 unfolds obs-fold and lets control characters pass"),
    "bad-request-line": (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "a fragment: some servers cut it off"),
    "bad-version": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "h11 leaves versions to its user"),
    "bad-target": (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", "h11 leaves the forms of targets to its user"),
    "bad-host": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "h11 counts Host fields, but does not read them"),
    "bad-content-length": (GET + b"Content-Length: 0, 0\r\n\r\n", "h11 makes one of equal lengths"),
    "bad-transfer-encoding": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "1.0 has no codings"),
    "conflicting-framing": (GET + BOTH + b"0\r\n\r\n", "h11 drops the length"),
    "bad-connection": (GET + b"Connection: host\r\n\r\n", "h11 is not an intermediary and removes nothing"),
    "bad-upgrade": (GET + b"Upgrade: a b\r\nConnection: upgrade\r\n\r\n", "h11 leaves Upgrade to its user"),
    "bad-chunk": (CHUNKED + b"0;=x \r\n\r\n", "h11 skips extensions without reading them, and spaces"),
    "forbidden-trailer": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", "h11 does not judge trailers"),
    "bad-trailer": (CHUNKED + b"0\r\nA: x\r\n y\r\n\r\n", "h11 unfolds obs-fold here too"),
}
STRICTER_ANSWERS = {
    "bare-line-feed": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "as for requests"),
    "bad-field": (OK + b"A: x\r\n y\r\nContent-Length: 0\r\n\r\n", "as for requests"),
    "bad-status-line": (b"HTTP/1.1 700 OK\r\nContent-Length: 0\r\n\r\n", "h11 takes any three digits from 100 on"),
    "bad-version": (b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "h11 leaves versions to its user"),
    "bad-content-length": (OK + b"Content-Length: 0, 0\r\n\r\n", "h11 makes one of equal lengths"),
    "bad-transfer-encoding": (b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", "no body, yet it has a coding"),
    "conflicting-framing": (OK + BOTH + b"0\r\n\r\n", "as for requests"),
    "bad-connection": (OK + b"Connection: host\r\nContent-Length: 0\r\n\r\n", "as for requests"),
    "bad-chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n0;=x\r\n\r\n", "as for requests"),
    "forbidden-trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n", "as for requests"),
    "bad-trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: x\r\n y\r\n\r\n", "as for requests"),
}
# what h11 refuses and we take: name -> (a request, does a wire belong here, why we take it)
WIDER: dict[str, tuple[bytes, Any, str]] = {
    "empty line first": (
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        lambda wire: wire.startswith(b"\r\n"),
        "RFC 9112 section 2.2: a server SHOULD ignore at least one",
    ),
}


def h11_reads(wire: bytes, answers: str = "") -> dict[str, Any] | str:
    """The message as h11 understands it, or "refused"; {} if it is incomplete before its head ends."""
    connection = h11.Connection(h11.CLIENT if answers else h11.SERVER)
    if answers:
        connection.send(h11.Request(method=answers, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    said: dict[str, Any] = {}
    body = b""
    try:
        connection.receive_data(wire)
        for _ in range(1000):
            event = connection.next_event()
            if isinstance(event, h11.Request):
                said = {"method": event.method, "target": event.target}
            elif isinstance(event, (h11.Response, h11.InformationalResponse)):
                said = {"status": event.status_code}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return said | {"body": body, "done": True, "trailers": list(event.headers)}
            else:
                return said and said | {"body": body, "done": False}
            if isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse)):
                said |= {"version": event.http_version, "fields": list(event.headers)}
            if isinstance(event, h11.InformationalResponse):
                return said | {"body": b"", "done": True, "trailers": []}
    except h11.RemoteProtocolError:
        return "refused"
    raise AssertionError("h11 does not come to an end")


HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}


def kept(fields: list[tuple[bytes, bytes]], named: bytes) -> list[tuple[bytes, bytes]]:
    removed = HOP_BY_HOP | {option.strip(b" \t").lower() for option in named.split(b",")}
    return [(name, value) for name, value in fields if name not in removed]


def disagreement(read: Any, wire: bytes, stricter: dict[str, Any], answers: str = "") -> str:
    """"" if both say the same of a message, or differ as is listed."""
    theirs = h11_reads(wire, answers)
    ours = read([wire], answers=answers)
    if ours.error:
        return "" if theirs == "refused" or ours.error in stricter else f"we refuse it for {ours.error}, h11 takes it"
    if theirs == "refused":
        return "" if any(belongs(wire) for _, belongs, _ in WIDER.values()) else "h11 refuses it, we take it"
    if theirs == {} or ours.head is None:
        return "" if theirs == {} and ours.head is None else f"complete for one only: {theirs} {ours}"
    assert isinstance(theirs, dict)
    head = ours.head
    named = b",".join([value for name, value in theirs["fields"] if name == b"connection"])
    said: dict[str, Any] = {"version": head.version.encode(), "body": ours.body, "done": ours.done}
    said |= {"status": head.status} if answers else {"method": head.method.encode(), "target": head.target.encode()}
    said["fields"] = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]
    if ours.done:
        said["trailers"] = [(name.lower().encode("latin-1"), v.encode("latin-1")) for name, v in ours.trailers or []]
    theirs["fields"] = kept(theirs["fields"], named)
    if not answers and head.version == "1.0":  # RFC 9110 section 10.1.1: Expect does not exist in 1.0
        theirs["fields"] = [field for field in theirs["fields"] if field[0] != b"expect"]
        if (b"host", b"") in said["fields"]:  # we forward in 1.1, which needs one
            said["fields"].remove((b"host", b""))
            theirs["fields"] = [field for field in theirs["fields"] if field != (b"host", b"")]
    if answers and (head.status < 200 or head.status == 204):  # we take a harmless "Content-Length: 0" off
        theirs["fields"] = [field for field in theirs["fields"] if field != (b"content-length", b"0")]
    return "" if said == theirs else f"ours {said}\nh11  {theirs}"


@pytest.mark.parametrize("reason", STRICTER_REQUESTS)
def test_what_we_refuse_and_h11_takes_in_requests(reason, read):
    wire, why = STRICTER_REQUESTS[reason]
    assert why
    assert read([wire]).error == reason
    assert h11_reads(wire) != "refused"


@pytest.mark.parametrize("reason", STRICTER_ANSWERS)
def test_what_we_refuse_and_h11_takes_in_answers(reason, read):
    wire, why = STRICTER_ANSWERS[reason]
    assert why
    assert read([wire], answers="GET").error == reason
    assert h11_reads(wire, "GET") != "refused"


@pytest.mark.parametrize("name", WIDER)
def test_what_we_take_and_h11_refuses(name, read):
    wire, belongs, why = WIDER[name]
    assert why
    assert belongs(wire)
    assert read([wire]).done
    assert h11_reads(wire) == "refused"


# fmt: off
REQUEST_LINES = [
    b"GET / HTTP/1.1", b"GET / HTTP/1.1", b"POST /x?y HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"\r\nGET / HTTP/1.1", b"GET  / HTTP/1.1", b"G@T / HTTP/1.1",
]
STATUS_LINES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 x", b"HTTP/1.1 304 x", b"HTTP/1.1 100 x",
    b"HTTP/1.1 500 \xe9", b"HTTP/1.1 099 x", b"HTTP/1.1 20 x",
]
FIELDS = [
    b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: -1", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close", b"Connection: x-a, keep-alive",
    b"X-A: 1", b"X-B:  \xe9 \t", b"TE: trailers", b"Upgrade: websocket", b"Expect: 100-continue", b"A : x", b" folded",
    b": x",
]
BODIES = [
    b"", b"hello", b"hello world", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n",
    b"0\r\nX: y\r\n\r\nGET", b"5\r\nhelloXX", b"+5\r\nhello\r\n", b"5\r\nhel", b"0005\r\nhello\r\n0\r\n\r\n",
    b"g\r\n", b"0\r\nX : y\r\n\r\n",
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


@settings(max_examples=500, deadline=None)
@given(messages(REQUEST_LINES, [b"Host: a"]))
def test_requests_mean_the_same_to_both(read, wire):
    assert disagreement(read, wire, STRICTER_REQUESTS) == ""


@settings(max_examples=500, deadline=None)
@given(messages(STATUS_LINES, []), st.sampled_from(["GET", "HEAD"]))
def test_answers_mean_the_same_to_both(read, wire, method):
    assert disagreement(read, wire, STRICTER_ANSWERS, method) == ""
