"""Detection: rows of first bytes, that it decides as early as it can, and that it is total and stays decided."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tulle_data_plane.wire.detect import HTTP2_PREFACE, MOST, Protocol, by_rules, detect

HELLO = bytes.fromhex("16030102000100")

# (first bytes, protocol, after how many of them it is known)
ROWS = [
    # HTTP/1 (RFC 9112 section 3): method, space, and what a target begins with
    (b"GET / HTTP/1.1\r\n", Protocol.HTTP1, 5),
    (b"POST /x", Protocol.HTTP1, 6),
    (b"M-SEARCH /", Protocol.HTTP1, 10),
    (b"get /", Protocol.HTTP1, 5),
    (b"PRIX / HTTP/1.1", Protocol.HTTP1, 6),
    (b"GET http://a/", Protocol.HTTP1, 11),
    (b"GET HTTPS://a/", Protocol.HTTP1, 12),
    (b"OPTIONS * HTTP/1.1", Protocol.HTTP1, 9),
    (b"OPTIONS *& HTTP/1.1", Protocol.HTTP1, 9),
    (b"GET * HTTP/1.1", Protocol.HTTP1, 6),
    (b"CONNECT a:443 HTTP/1.1", Protocol.HTTP1, 9),
    (b"CONNECT [::1]:443 HTTP/1.1", Protocol.HTTP1, 9),
    (b"CONNECT -a:443 HTTP/1.1", Protocol.HTTP1, 9),
    (b"CONNECT :443 HTTP/1.1", Protocol.HTTP1, 9),
    (b"\r\nGET / HTTP/1.1", Protocol.HTTP1, 7),
    (b"\r\n\r\nGET / HTTP/1.1", Protocol.HTTP1, 9),  # malformed, but HTTP: the codec refuses it
    # section 2.2 and 3: bare CR and LF, and blanks: some servers skip them, so nothing of it may pass unread
    (b"\nGET / HTTP/1.1", Protocol.HTTP1, 6),
    (b"\rGET / HTTP/1.1", Protocol.HTTP1, 6),
    (b"\r\r\n \t\nGET / HTTP/1.1", Protocol.HTTP1, 11),
    (b" GET / HTTP/1.1", Protocol.HTTP1, 6),
    (b"GET  / HTTP/1.1", Protocol.HTTP1, 6),
    (b"GET \t/ HTTP/1.1", Protocol.HTTP1, 6),
    (b"GET\thttp://a/ HTTP/1.1", Protocol.HTTP1, 11),
    (b"x" * 32 + b" /", Protocol.HTTP1, 34),
    # HTTP/2 (RFC 9113 section 3.4)
    (HTTP2_PREFACE, Protocol.HTTP2, 24),
    # TLS (RFC 8446 sections 5.1 and 4.1.2)
    (HELLO, Protocol.TLS, 6),
    (bytes.fromhex("160301000401"), Protocol.TLS, 6),
    (bytes.fromhex("160304400001"), Protocol.TLS, 6),
    # anything else
    (b"\x00", Protocol.OPAQUE, 1),
    (b"\xff\xff", Protocol.OPAQUE, 1),
    (b" \x00", Protocol.OPAQUE, 2),
    (b"\n\x00", Protocol.OPAQUE, 2),
    (b"GET  x", Protocol.OPAQUE, 6),
    (b"GET\r\n", Protocol.OPAQUE, 4),
    (b"GET key\r\n", Protocol.OPAQUE, 5),  # redis, inline
    (b"*1\r\n$4\r\nPING\r\n", Protocol.OPAQUE, 3),  # redis
    (b"SSH-2.0-OpenSSH_9.2\r\n", Protocol.OPAQUE, 20),
    (b"EHLO example.com\r\n", Protocol.OPAQUE, 6),
    (b"CONNECT {\"verbose\":false}\r\n", Protocol.OPAQUE, 9),  # NATS
    (b"OPTIONS rtsp://a RTSP/1.0", Protocol.OPAQUE, 9),
    (b"PRI * HTTP/2.1", Protocol.HTTP1, 14),  # not the preface, so a request line, which the codec refuses
    (b"x" * 33, Protocol.OPAQUE, 33),
    (b"\r\n" * 40, Protocol.OPAQUE, MOST),
    (bytes.fromhex("1602"), Protocol.OPAQUE, 2),
    (bytes.fromhex("160305"), Protocol.OPAQUE, 3),
    (bytes.fromhex("16030141"), Protocol.OPAQUE, 4),
    (bytes.fromhex("1603014001"), Protocol.OPAQUE, 5),
    (bytes.fromhex("1603010003"), Protocol.OPAQUE, 5),
    (bytes.fromhex("160301020002"), Protocol.OPAQUE, 6),
]


@pytest.mark.parametrize(("first", "protocol", "needed"), ROWS)
def test_detects_as_early_as_it_can(first, protocol, needed):
    assert [detect(first[:n]) for n in range(needed)] == [None] * needed
    assert {detect(first[:n]) for n in range(needed, len(first) + 1)} == {protocol}
    assert detect(first + b"\x00anything") is protocol


START = st.sampled_from([row[0] for row in ROWS])


@given(st.one_of(st.binary(max_size=100), st.builds(lambda a, n, b: a[:n] + b, START, st.integers(0, 30), st.binary())))
@example(b"")
def test_total_bounded_and_never_changes_its_mind(first):
    answers = [detect(first[:n]) for n in range(len(first) + 1)]
    decided = [answer for answer in answers if answer is not None]
    assert len(set(decided)) <= 1
    assert answers == [None] * (len(answers) - len(decided)) + decided
    if len(first) >= MOST:
        assert detect(first) is detect(first[:MOST]) is not None


@given(st.one_of(st.from_regex(rb"[A-Z]{1,34} /.{0,50}", fullmatch=True), START, st.binary(max_size=80)))
@example(b"P /")
@example(b"CONNECT /")
@example(b"A" * 32 + b" /")
@example(b"A" * 33 + b" /")
def test_the_shortcut_for_usual_requests_says_what_the_rules_say(first):
    assert detect(first) is by_rules(first)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_undecided_means_that_more_than_one_answer_is_possible(first, data):
    if detect(first) is None:
        # opaque is always possible: a byte that fits nowhere follows
        assert detect(first + b"\x00\x00\x00\x00\x00\x00") is Protocol.OPAQUE
