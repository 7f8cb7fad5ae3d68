"""Request heads: what is understood, and what is refused. Each case is read whole, byte by byte and with bytes left.

The rows are transcripts: `wire` is what arrives after the request line, with "|" for CRLF.
"""

from __future__ import annotations

import pytest
from tulle_data_plane.wire.http1 import CHUNKED, LENGTH, NONE, ProtocolError, find_head_end, parse_request


def wire(text: str) -> bytes:
    return text.replace("|", "\r\n").encode("latin-1")


GET = "GET / HTTP/1.1|Host: a|"

# fmt: off
UNDERSTOOD = [
    # RFC 9112 section 3: method SP target SP version
    ("GET /x?y=1 HTTP/1.1|Host: a||", {"method": "GET", "path": "/x?y=1", "target": "/x?y=1", "version": "1.1"}),
    ("M-SEARCH / HTTP/1.1|Host: a||", {"method": "M-SEARCH"}),
    ("get / HTTP/1.1|Host: a||", {"method": "get"}),  # methods are case-sensitive: passed on as they are
    ("GET //a//b/../c HTTP/1.1|Host: a||", {"path": "//a//b/../c"}),  # never normalised here
    ("GET /%00%2e HTTP/1.1|Host: a||", {"path": "/%00%2e"}),
    # section 2.2: one empty line before it
    ("|GET / HTTP/1.1|Host: a||", {"method": "GET"}),
    # section 3.2.2: absolute-form, reduced to a path
    ("GET http://a/x?y HTTP/1.1|Host: a||", {"path": "/x?y", "authority": "a", "target": "http://a/x?y"}),
    ("GET http://a HTTP/1.1|Host: a||", {"path": "/"}),
    ("GET http://a?x HTTP/1.1|Host: a||", {"path": "/?x"}),
    ("GET HTTP://A:80/ HTTP/1.1|Host: a||", {"path": "/", "authority": "a:80"}),
    ("GET https://a/ HTTP/1.1|Host: a:443||", {"path": "/", "authority": "a"}),
    ("GET http://[::1]/ HTTP/1.1|Host: [::1]:80||", {"authority": "[::1]"}),
    # section 3.2.3: authority-form
    ("CONNECT a:443 HTTP/1.1|Host: a:443||", {"method": "CONNECT", "path": "", "authority": "a:443"}),
    ("CONNECT a:443 HTTP/1.1|Host: a||", {"authority": "a:443"}),
    # a tunnel, or the end of the connection (RFC 9110 section 9.3.6), whatever else is offered
    ("CONNECT a:443 HTTP/1.1|Host: a|Connection: keep-alive||", {"keep_alive": False}),
    ("CONNECT [::1]:443 HTTP/1.1|Host: [::1]:443|Connection: upgrade|Upgrade: x||", {"upgrade": "", "path": ""}),
    ("CONNECT a:443 HTTP/1.0||", {"version": "1.0", "fields": [("Host", "a:443")], "keep_alive": False}),
    ("CONNECT a:443 HTTP/1.1|Host: a|Content-Length: 0||", {"kind": LENGTH, "length": 0}),
    # section 3.2.4: asterisk-form
    ("OPTIONS * HTTP/1.1|Host: a||", {"path": "*", "authority": "a"}),
    ("OPTIONS http://a HTTP/1.1|Host: a||", {"path": "*"}),
    # section 3.2 and RFC 9110 section 7.2: Host
    ("GET / HTTP/1.1|hOsT:\t App-B.default:8080 ||", {"authority": "app-b.default:8080"}),
    ("GET / HTTP/1.1|Host:||", {"authority": ""}),
    ("GET / HTTP/1.1|Host: [fe80::1]:65535||", {"authority": "[fe80::1]:65535"}),
    ("GET / HTTP/1.1|Host: a_b-c.1~||", {"authority": "a_b-c.1~"}),
    # RFC 9110 section 5.5: values
    (GET + "A: \xe9\t!~ ||", {"fields": [("Host", "a"), ("A", "\xe9\t!~")]}),
    (GET + "A:||", {"fields": [("Host", "a"), ("A", "")]}),
    (GET + "!#$%&'*+-.^_`~09azAZ: x||", {"fields": [("Host", "a"), ("!#$%&'*+-.^_`~09azAZ", "x")]}),
    # RFC 9112 section 6: framing
    (GET + "|", {"kind": NONE}),
    (GET + "Content-Length: 0||", {"kind": LENGTH, "length": 0}),
    (GET + "content-LENGTH:\t5||hello", {"kind": LENGTH, "length": 5}),
    (GET + "Content-Length: 007||abcdefg", {"kind": LENGTH, "length": 7}),
    (GET + "Transfer-Encoding: chunked||0||", {"kind": CHUNKED, "fields": [("Host", "a")]}),
    (GET + "Transfer-Encoding:CHUNKED\t||0||", {"kind": CHUNKED, "fields": [("Host", "a")]}),
    # section 9.3: persistence
    (GET + "|", {"keep_alive": True}),
    (GET + "Connection: Close||", {"keep_alive": False, "fields": [("Host", "a")]}),
    (GET + "Connection: keep-alive, close||", {"keep_alive": False}),
    (GET + "Connection: keep-alive|Connection: close||", {"keep_alive": False, "fields": [("Host", "a")]}),
    # RFC 9110 section 7.6.1: hop-by-hop fields end here, with those that Connection names
    (GET + "Connection: x-a ,, X-B|X-A: 1|x-b: 2|X-Ab: 3|Keep-Alive: timeout=5|Proxy-Connection: x||",
     {"fields": [("Host", "a"), ("X-Ab", "3")], "keep_alive": True}),
    (GET + "Connection: cookie|Cookie: x||", {"fields": [("Host", "a")]}),
    (GET + "Connection:||", {"fields": [("Host", "a")], "keep_alive": True}),
    (GET + "Trailer: x-sum|Proxy-Authorization: y||",
     {"fields": [("Host", "a"), ("Trailer", "x-sum"), ("Proxy-Authorization", "y")]}),
    # RFC 9110 section 10.1.4: TE
    (GET + "TE: gzip;q=0.5, trailers|Connection: TE||", {"te_trailers": True, "fields": [("Host", "a")]}),
    (GET + "TE: trailersx|Connection: TE||", {"te_trailers": False, "fields": [("Host", "a")]}),
    # RFC 9110 section 7.8: Upgrade counts only if Connection agrees; h2c never
    (GET + "Upgrade: WebSocket|Connection: keep-alive, Upgrade||", {"upgrade": "websocket", "fields": [("Host", "a")]}),
    (GET + "Upgrade: websocket||", {"upgrade": "", "fields": [("Host", "a")]}),
    (GET + "Upgrade: h2c|HTTP2-Settings: AAA|Connection: Upgrade, HTTP2-Settings||",
     {"upgrade": "", "fields": [("Host", "a")]}),
    (GET + "Upgrade: h2c, foo/2|Upgrade: bar|Connection: upgrade||", {"upgrade": "foo/2, bar"}),
    (GET + "Connection: upgrade||", {"upgrade": ""}),
    # RFC 9110 section 10.1.1: Expect
    (GET + "Expect: 100-Continue|Content-Length: 3||abc", {"expect_continue": True}),
    (GET + "Expect: 100-continue|Transfer-Encoding: chunked||0||", {"expect_continue": True}),
    (GET + "Expect: 100-continue||", {"expect_continue": False}),  # no body to continue with
    (GET + "Expect: more|Content-Length: 3||abc", {"expect_continue": False}),
    # HTTP/1.0: Host is optional, never keep-alive towards a proxy (section 9.3), neither Upgrade nor Expect
    ("GET / HTTP/1.0||", {"version": "1.0", "keep_alive": False, "authority": "", "fields": [("Host", "")]}),
    ("GET / HTTP/1.0|Connection: keep-alive|Host: a||", {"keep_alive": False, "authority": "a"}),
    ("GET http://a:81/x HTTP/1.0||", {"authority": "a:81", "path": "/x", "fields": [("Host", "a:81")]}),
    ("POST / HTTP/1.0|Content-Length: 2|Expect: 100-continue|Upgrade: x|Connection: upgrade||ab",
     {"kind": LENGTH, "length": 2, "expect_continue": False, "upgrade": "",
      "fields": [("Host", ""), ("Content-Length", "2")]}),
]

REFUSED = [
    # RFC 9112 section 3: the request line
    ("|", "bad-request-line"),
    ("||", "bad-request-line"),
    ("||GET / HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET  / HTTP/1.1|Host: a||", "bad-request-line"),
    (" GET / HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /  HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET / HTTP/1.1 |Host: a||", "bad-request-line"),
    ("GET\t/ HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /a b HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET / http/1.1|Host: a||", "bad-request-line"),
    ("GET / HTTP/1.1x|Host: a||", "bad-request-line"),
    ("GET HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /|Host: a||", "bad-request-line"),  # HTTP/0.9
    ("G(T / HTTP/1.1|Host: a||", "bad-request-line"),
    ("G\xc9T / HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /\xe9 HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /\x00 HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /\x7f HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /a\rb HTTP/1.1|Host: a||", "bad-request-line"),
    ("GET /#x HTTP/1.1|Host: a||", "bad-request-line"),
    ("HTTP/1.1 200 OK|Host: a||", "bad-request-line"),
    # section 2.3: the version
    ("GET / HTTP/1.2|Host: a||", "bad-version"),
    ("GET / HTTP/2.0|Host: a||", "bad-version"),
    ("GET / HTTP/0.9|Host: a||", "bad-version"),
    ("GET / HTTP/1.10|Host: a||", "bad-version"),
    ("GET / HTTP/01.1|Host: a||", "bad-version"),
    ("GET / HTTP/1|Host: a||", "bad-version"),
    ("PRI * HTTP/2.0||", "bad-version"),
    # section 3.2: the target
    ("GET x HTTP/1.1|Host: a||", "bad-target"),
    ("GET * HTTP/1.1|Host: a||", "bad-target"),
    ("GET ftp://a/ HTTP/1.1|Host: a||", "bad-target"),
    ("GET http:///x HTTP/1.1|Host: a||", "bad-target"),
    ("GET http://:80/x HTTP/1.1|Host: a||", "bad-target"),
    ("GET http://u@a/ HTTP/1.1|Host: a||", "bad-target"),
    ("GET http:/a HTTP/1.1|Host: a||", "bad-target"),
    ("GET a:80 HTTP/1.1|Host: a||", "bad-target"),
    ("CONNECT / HTTP/1.1|Host: a||", "bad-target"),
    ("CONNECT a HTTP/1.1|Host: a||", "bad-target"),
    ("CONNECT a: HTTP/1.1|Host: a||", "bad-target"),
    ("CONNECT :443 HTTP/1.1|Host: a||", "bad-target"),
    ("CONNECT http://a:443 HTTP/1.1|Host: a||", "bad-target"),
    ("CONNECT a:99999 HTTP/1.1|Host: a||", "bad-target"),
    # section 3.2: Host
    ("GET / HTTP/1.1||", "bad-host"),
    ("GET / HTTP/1.1|Host: a|Host: a||", "bad-host"),
    ("GET / HTTP/1.1|Host: a|X: y|hOST: b||", "bad-host"),
    ("GET / HTTP/1.0|Host: a|Host: a||", "bad-host"),
    ("GET / HTTP/1.1|Host: a, b||", "bad-host"),
    ("GET / HTTP/1.1|Host: a,b||", "bad-host"),
    ("GET / HTTP/1.1|Host: a b||", "bad-host"),
    ("GET / HTTP/1.1|Host: u@a||", "bad-host"),
    ("GET / HTTP/1.1|Host: a/b||", "bad-host"),
    ("GET / HTTP/1.1|Host: http://a||", "bad-host"),
    ("GET / HTTP/1.1|Host: a?b||", "bad-host"),
    ("GET / HTTP/1.1|Host: a#b||", "bad-host"),
    ("GET / HTTP/1.1|Host: a\\b||", "bad-host"),
    ("GET / HTTP/1.1|Host: a:b||", "bad-host"),
    ("GET / HTTP/1.1|Host: a:-1||", "bad-host"),
    ("GET / HTTP/1.1|Host: a:65536||", "bad-host"),
    ("GET / HTTP/1.1|Host: a:70000||", "bad-host"),
    ("GET / HTTP/1.1|Host: a:000080||", "bad-host"),
    ("GET / HTTP/1.1|Host: a:80:80||", "bad-host"),
    ("GET / HTTP/1.1|Host: ::1||", "bad-host"),
    ("GET / HTTP/1.1|Host: [::1||", "bad-host"),
    ("GET / HTTP/1.1|Host: []||", "bad-host"),
    ("GET / HTTP/1.1|Host: a%41||", "bad-host"),
    ("GET / HTTP/1.1|Host: \xe9||", "bad-host"),
    # section 3.2.2: absolute-form against Host
    ("GET http://a/ HTTP/1.1|Host: b||", "bad-host"),
    ("GET http://a/ HTTP/1.1|Host: a:81||", "bad-host"),
    ("GET http://a/ HTTP/1.1|Host:||", "bad-host"),
    ("GET http://a/ HTTP/1.1||", "bad-host"),
    ("GET http://a/ HTTP/1.0|Host: b||", "bad-host"),
    ("CONNECT a:443 HTTP/1.1|Host: a:444||", "bad-host"),
    ("CONNECT a:443 HTTP/1.1|Host: b||", "bad-host"),
    # sections 5 and 5.1: field lines
    (GET + ": x||", "bad-field"),
    (GET + "A||", "bad-field"),
    (GET + "A : x||", "bad-field"),
    (GET + "A\t: x||", "bad-field"),
    (GET + " A: x||", "bad-field"),
    (GET + "A B: x||", "bad-field"),
    (GET + "A(): x||", "bad-field"),
    (GET + "\xc9: x||", "bad-field"),
    ("GET / HTTP/1.1| Host: a||", "bad-field"),
    # section 5.2: obs-fold
    (GET + "A: x| y||", "bad-field"),
    (GET + "A: x|\ty||", "bad-field"),
    (GET + "A: x| ||", "bad-field"),
    # RFC 9110 section 5.5: CR, NUL and other controls
    (GET + "A: x\ry||", "bad-field"),
    (GET + "A: x\r||", "bad-field"),
    (GET + "A: \x00||", "bad-field"),
    (GET + "A: \x0b||", "bad-field"),
    (GET + "A: \x1b[2J||", "bad-field"),
    (GET + "A: \x7f||", "bad-field"),
    (GET + "A\x00: x||", "bad-field"),
    # RFC 9112 section 2.2: bare LF
    ("GET / HTTP/1.1\nHost: a||", "bare-line-feed"),
    ("GET / HTTP/1.1|Host: a\n|", "bare-line-feed"),
    ("\nGET / HTTP/1.1|Host: a||", "bare-line-feed"),
    ("GET / HTTP/1.1\nHost: a\n\n", "bare-line-feed"),
    (GET + "A: x\nContent-Length: 5||", "bare-line-feed"),
    (GET + "A: x\n||", "bare-line-feed"),
    # section 6.3: both framings, in every order
    (GET + "Content-Length: 5|Transfer-Encoding: chunked||", "conflicting-framing"),
    (GET + "Transfer-Encoding: chunked|Content-Length: 5||", "conflicting-framing"),
    (GET + "Transfer-Encoding: chunked|X: y|Content-Length: 0||", "conflicting-framing"),
    # section 6.1: Transfer-Encoding
    *[(GET + f"Transfer-Encoding: {value}||", "bad-transfer-encoding") for value in (
        "", "identity", "gzip", "xchunked", "chunkedx", "chunked, chunked", "gzip, chunked", "chunked, identity",
        "chunked,", ",chunked", "chunked;q=1", '"chunked"', "chun\tked", "\xa0chunked", "chunked\xa0", "chunked gzip")],
    (GET + "Transfer-Encoding: chunked|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    (GET + "Transfer-Encoding: chunked|transfer-encoding: identity||", "bad-transfer-encoding"),
    ("GET / HTTP/1.0|Transfer-Encoding: chunked||", "bad-transfer-encoding"),
    # section 6.3: Content-Length
    *[(GET + f"Content-Length: {value}||", "bad-content-length") for value in (
        "", "x", "-1", "+1", "0x10", "1e3", "1.0", "1 2", "1,1", "1, 2", "1;", "5\xa0", "\xb2", "1_0",
        "1" * 19, "9" * 20, "0" * 20)],
    (GET + "Content-Length: 5|Content-Length: 5||", "bad-content-length"),
    # RFC 9110 section 9.3.6: CONNECT has no content
    ("CONNECT a:443 HTTP/1.1|Host: a|Content-Length: 5||hello", "bad-content-length"),
    ("CONNECT a:443 HTTP/1.0|Host: a|Content-Length: 5||hello", "bad-content-length"),
    ("CONNECT a:443 HTTP/1.1|Host: a|Transfer-Encoding: chunked||0||", "bad-transfer-encoding"),
    (GET + "Content-Length: 5|content-length: 6||", "bad-content-length"),
    # RFC 9110 section 7.6.1: what Connection may not take away
    *[(GET + f"Connection: {value}||", "bad-connection") for value in (
        "host", "close, Content-Length", "content-type", "content-encoding", "a b", "a;b", "\xe9", '"close"')],
    # RFC 9110 section 7.8
    (GET + "Upgrade: a b|Connection: upgrade||", "bad-upgrade"),
    (GET + "Upgrade: a/|Connection: upgrade||", "bad-upgrade"),
]
# fmt: on


@pytest.mark.parametrize(("text", "expected"), UNDERSTOOD, ids=[row[0][:60] for row in UNDERSTOOD])
def test_understood(text, expected, three_ways):
    result = three_ways(wire(text))
    head = result.head
    assert result.error == ""
    assert result.done
    assert head is not None
    seen = {
        name: {"fields": list(head.headers), "kind": head.framing.kind, "length": head.framing.length}[name]
        if name in ("fields", "kind", "length")
        else getattr(head, name)
        for name in expected
    }
    assert seen == expected


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[row[0][:60] for row in REFUSED])
def test_refused(text, reason, three_ways):
    result = three_ways(wire(text) + b"\r\n")
    assert (result.error, result.head) == (reason, None)


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[row[0][:60] for row in REFUSED])
def test_refused_again_when_it_comes_again(text, reason, read):
    # what was refused is not remembered as accepted (wire.memory)
    for _ in range(3):
        assert read([wire(text) + b"\r\n"]).error == reason


def test_the_refusal_says_what_was_wrong():
    with pytest.raises(ProtocolError, match=r"field 2, 'A : x.r.n': has a space before the colon"):
        parse_request(wire(GET + "A : x||"))


def test_a_head_may_begin_anywhere_in_the_buffer():
    buffer = bytearray(b"body\r\n\r\n" + wire(GET + "|") + wire(GET + "|"))
    first = find_head_end(buffer, 8)
    assert bytes(buffer[8:first]) == wire(GET + "|")
    assert find_head_end(buffer, first) == len(buffer)
    assert find_head_end(buffer, len(buffer)) == -1


def test_a_message_that_is_not_a_complete_head_is_refused():
    # parse_request's contract is a head from find_head_end; anything else must still not be accepted
    for partial in ("", "GET", "GET / HTTP/1.1|", GET, GET + "A", GET + "||", GET + "|x"):
        with pytest.raises(ProtocolError):
            parse_request(wire(partial))


def test_a_bare_line_feed_is_seen_across_a_cut(read):
    # the CR before a cut belongs to the LF after it
    assert read([b"GET / HTTP/1.1\r", b"\nHost: a\r", b"\n\r", b"\n"]).head is not None
    assert read([b"GET / HTTP/1.1", b"\nHost"]).error == "bare-line-feed"
