"""Heads of answers: where their bodies end, what is understood, what is refused. "|" stands for CRLF."""

from __future__ import annotations

import pytest
from tulle_data_plane.wire.http1 import (
    CHUNKED_BODY,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE_BODY,
    Framing,
    ProtocolError,
    parse_response,
)


def wire(text: str) -> bytes:
    return text.replace("|", "\r\n").encode("latin-1")


OK = "HTTP/1.1 200 OK|"
FIVE = Framing(LENGTH, 5)

# fmt: off
UNDERSTOOD = [
    # RFC 9112 section 4: the status line
    ("GET", OK + "Content-Length: 5||hello", {"status": 200, "version": "1.1", "framing": FIVE, "keep_alive": True}),
    ("GET", "HTTP/1.1 200 |Content-Length: 0||", {"status": 200}),
    ("GET", "HTTP/1.1 200|Content-Length: 0||", {"status": 200}),  # no SP: means nothing else, so it is let through
    ("GET", "HTTP/1.1 599 \xe9\t!|Content-Length: 0||", {"status": 599}),
    # section 6.3: where the body ends, in the order of its rules
    ("GET", OK + "Transfer-Encoding: chunked||5|hello|0||", {"framing": CHUNKED_BODY, "fields": []}),
    ("GET", OK + "Content-Length: 0||", {"framing": Framing(LENGTH, 0)}),
    ("GET", OK + "|to the end", {"framing": UNTIL_CLOSE_BODY, "keep_alive": False}),
    ("GET", OK + "Connection: keep-alive||to the end", {"framing": UNTIL_CLOSE_BODY, "keep_alive": False}),
    ("HEAD", OK + "Content-Length: 5||", {"framing": NO_BODY, "fields": [("Content-Length", "5")], "keep_alive": True}),
    ("HEAD", OK + "Transfer-Encoding: chunked||", {"framing": NO_BODY, "fields": []}),
    ("HEAD", OK + "|", {"framing": NO_BODY, "keep_alive": True}),
    ("GET", "HTTP/1.1 304 Not Modified|Content-Length: 5||", {"framing": NO_BODY, "fields": [("Content-Length", "5")]}),
    ("GET", "HTTP/1.1 204 No Content||", {"framing": NO_BODY, "keep_alive": True}),
    ("GET", "HTTP/1.1 204 No Content|Content-Length: 0||", {"framing": NO_BODY, "fields": []}),
    ("POST", "HTTP/1.1 205 Reset Content|Content-Length: 0||", {"framing": Framing(LENGTH, 0)}),
    ("GET", "HTTP/1.1 100 Continue||", {"framing": NO_BODY, "informational": True, "keep_alive": True}),
    ("GET", "HTTP/1.1 103 Early Hints|Link: </a>||", {"informational": True, "fields": [("Link", "</a>")]}),
    ("GET", "HTTP/1.1 199 ||", {"informational": True}),
    # RFC 9110 section 9.3.6: a 2xx to CONNECT begins a tunnel
    ("CONNECT", OK + "Via: p||", {"framing": NO_BODY, "fields": [("Via", "p")]}),
    ("CONNECT", "HTTP/1.1 407 x|Content-Length: 5||hello", {"framing": FIVE}),
    # RFC 9112 section 9.3: persistence
    ("GET", OK + "Connection: close|Content-Length: 5||hello",
     {"keep_alive": False, "fields": [("Content-Length", "5")]}),
    ("GET", "HTTP/1.0 200 OK|Content-Length: 5||hello", {"version": "1.0", "keep_alive": False}),
    ("GET", "HTTP/1.0 200 OK|Content-Length: 5|Connection: keep-alive||hello", {"keep_alive": True}),
    ("GET", "HTTP/1.0 200 OK|Content-Length: 5|Connection: keep-alive, close||hello", {"keep_alive": False}),
    # RFC 9110 section 7.6.1: hop-by-hop
    ("GET", OK + "Content-Length: 0|Connection: x-a|X-A: 1|Keep-Alive: timeout=5|X-B: 2||",
     {"fields": [("Content-Length", "0"), ("X-B", "2")]}),
    # fields that matter in requests only are ordinary here
    ("GET", OK + "Content-Length: 0|Host: a|Host: b c|Expect: x||",
     {"fields": [("Content-Length", "0"), ("Host", "a"), ("Host", "b c"), ("Expect", "x")]}),
    # section 15.5.22: 426 says to what
    ("GET", "HTTP/1.1 426 x|Upgrade: tls/1.3|Connection: upgrade|Content-Length: 0||", {"upgrade": "tls/1.3"}),
    ("GET", OK + "Upgrade: foo|Connection: upgrade|Content-Length: 0||",
     {"upgrade": "", "fields": [("Content-Length", "0")]}),
]

REFUSED = [
    # RFC 9112 section 4
    ("GET", "HTTP/1.1  200 OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 20 OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 2000 OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 099 OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 600 OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 +20 OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 200OK||", "bad-status-line"),
    ("GET", "HTTP/1.1 200 O\x00K||", "bad-status-line"),
    ("GET", "HTTP/1.1 200 O\rK||", "bad-status-line"),
    ("GET", "http/1.1 200 OK||", "bad-status-line"),
    ("GET", "|HTTP/1.1 200 OK||", "bad-status-line"),
    ("GET", " HTTP/1.1 200 OK||", "bad-status-line"),
    ("GET", "GET / HTTP/1.1|Host: a||", "bad-status-line"),
    ("GET", "<html>||", "bad-status-line"),
    ("GET", "||", "bad-status-line"),
    ("GET", "HTTP/2.0 200 OK||", "bad-version"),
    ("GET", "HTTP/1.2 200 OK||", "bad-version"),
    ("GET", "HTTP/0.9 200 OK||", "bad-version"),
    # the same fields as in requests
    ("GET", "HTTP/1.1 200 OK\nContent-Length: 0||", "bare-line-feed"),
    ("GET", OK + "A: x\nContent-Length: 0||", "bare-line-feed"),
    ("GET", OK + "A : x||", "bad-field"),
    ("GET", OK + "A: x| y||", "bad-field"),
    ("GET", OK + "A: \x00||", "bad-field"),
    ("GET", OK + "A: x\ry||", "bad-field"),
    ("GET", OK + "A: \x7f||", "bad-field"),
    ("GET", OK + ": x||", "bad-field"),
    ("GET", OK + "A||", "bad-field"),
    ("GET", OK + "A: x|\ty||", "bad-field"),
    ("GET", OK + " A: x||", "bad-field"),
    ("GET", OK + "Content-Length: 5|Transfer-Encoding: chunked||", "conflicting-framing"),
    ("GET", OK + "Transfer-Encoding: chunked|Content-Length: 5||", "conflicting-framing"),
    ("HEAD", OK + "Transfer-Encoding: chunked|Content-Length: 5||", "conflicting-framing"),
    ("GET", OK + "Content-Length: 5|Content-Length: 5||", "bad-content-length"),
    ("GET", OK + "Content-Length: 5, 5||", "bad-content-length"),
    ("GET", OK + "Content-Length: -5||", "bad-content-length"),
    ("GET", OK + "Content-Length: +5||", "bad-content-length"),
    ("GET", OK + "Content-Length: 0x5||", "bad-content-length"),
    ("GET", OK + "Content-Length:||", "bad-content-length"),
    ("GET", OK + "Content-Length: 9999999999999999999||", "bad-content-length"),
    ("GET", OK + "Content-Length: 5|Content-Length: 6||", "bad-content-length"),
    ("HEAD", OK + "Content-Length: x||", "bad-content-length"),
    ("GET", OK + "Transfer-Encoding: gzip, chunked||", "bad-transfer-encoding"),
    ("GET", OK + "Transfer-Encoding: identity||", "bad-transfer-encoding"),
    ("GET", OK + "Transfer-Encoding: chunked, chunked||", "bad-transfer-encoding"),
    ("GET", OK + "Transfer-Encoding: chunked|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    ("GET", OK + "Transfer-Encoding: xchunked||", "bad-transfer-encoding"),
    ("GET", OK + "Transfer-Encoding: chunked, gzip||", "bad-transfer-encoding"),
    ("GET", "HTTP/1.0 200 OK|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    ("GET", OK + "Connection: content-length||", "bad-connection"),
    # section 6.1 and RFC 9110 section 8.6: no framing where there can be no body
    ("GET", "HTTP/1.1 204 No Content|Content-Length: 5||", "bad-content-length"),
    ("GET", "HTTP/1.1 204 No Content|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    ("GET", "HTTP/1.1 100 Continue|Content-Length: 5||", "bad-content-length"),
    ("GET", "HTTP/1.1 103 Early Hints|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    # RFC 9110 section 9.3.6: a server MUST NOT; who does has answered a request, and there is no tunnel
    ("CONNECT", OK + "Content-Length: 5||", "bad-content-length"),
    ("CONNECT", OK + "Content-Length: 0||", "bad-content-length"),
    ("CONNECT", "HTTP/1.0 200 x|Content-Length: 0||", "bad-content-length"),
    ("CONNECT", "HTTP/1.1 299 x|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    # RFC 9110 sections 7.8 and 15.2.2: a 101 nobody asked for
    ("GET", "HTTP/1.1 101 x|Upgrade: websocket|Connection: upgrade||", "bad-upgrade"),
    ("GET", "HTTP/1.1 101 x||", "bad-upgrade"),
]
# fmt: on


@pytest.mark.parametrize(("method", "text", "expected"), UNDERSTOOD, ids=[row[1][:60] for row in UNDERSTOOD])
def test_understood(method, text, expected, three_ways):
    result = three_ways(wire(text), answers=method)
    head = result.head
    assert result.error == ""
    assert head is not None
    assert {name: list(head.headers) if name == "fields" else getattr(head, name) for name in expected} == expected
    assert result.body == (b"" if head.framing == NO_BODY else wire(text).partition(b"\r\n\r\n")[2].strip(b"\r\n50"))


@pytest.mark.parametrize(("method", "text", "reason"), REFUSED, ids=[row[1][:60] for row in REFUSED])
def test_refused(method, text, reason, three_ways):
    assert three_ways(wire(text) + b"\r\n", answers=method).error == reason


SWITCH = "HTTP/1.1 101 Switching Protocols|Connection: Upgrade|Upgrade: {}||"


@pytest.mark.parametrize(
    ("asked", "got", "agreed"),
    [
        ("websocket", "websocket", "websocket"),
        ("websocket", "WebSocket", "websocket"),
        ("websocket, foo/2", "foo/2", "foo/2"),
        ("websocket", "foo", ""),
        ("websocket", "websocket, foo", ""),
        ("", "websocket", ""),
        ("websocket", "h2c", ""),
        ("websocket", "", ""),
    ],
)
def test_101_only_to_what_was_asked_for(asked, got, agreed, three_ways):
    # RFC 9110 section 7.8: "MUST NOT switch to a protocol that was not indicated by the client"
    result = three_ways(wire(SWITCH.format(got)), answers="GET", asked_upgrade=asked)
    if agreed:
        assert (result.head.upgrade, result.head.informational, result.head.framing) == (agreed, False, NO_BODY)
    else:
        assert result.error == "bad-upgrade"


def test_bytes_after_an_answer_are_left_over_and_not_part_of_it(read):
    # an answer to HEAD with a body, or a second answer nobody asked for: the caller must not use the connection again
    assert read([wire(OK + "Content-Length: 5||hello")], answers="HEAD").rest == b"hello"
    assert read([wire(OK + "Content-Length: 5||hello" + OK + "|")], answers="GET").rest == wire(OK + "|")
    assert read([wire("HTTP/1.1 204 x||hello")], answers="GET").rest == b"hello"


def test_until_close_ends_with_the_connection(read):
    result = read([wire(OK + "|abc"), b"def"], answers="GET", ended=True)
    assert (result.body, result.done, result.error) == (b"abcdef", True, "")


def test_the_refusal_says_what_was_wrong():
    with pytest.raises(ProtocolError, match=r"not HTTP/1\.1 SP STATUS SP REASON: '<html>"):
        parse_response(wire("<html>||"), "GET")
