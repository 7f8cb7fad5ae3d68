"""The fuzzing's invariants without a fuzzer: on its seeds and on all that it ever found, and that they can fail at all.

A new finding of `make fuzz` becomes a row of FINDINGS, with what was wrong, before it is mended.
"""

from __future__ import annotations

import random
import re

import pytest
from tulle_data_plane.wire import bodies, chunked, detect, encode, facts, http1, memory

FINDINGS = [
    # what looks like a request to llhttp was opaque to detection, and so passed unread
    ("detect", b"\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("detect", b"OPTIONS *& HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("detect", b"CONNECT . HTTP/1.1\r\nHost: a\r\n\r\n\x12"),
    ("detect", b"CONNECT $a:443 HTTP/1.1\r\nost: a:443\r\n\r\n"),
    ("detect", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    # of these the codec itself takes one, so that it was served or not as the protocol was declared or detected
    ("detect", b"CONNECT -a:443 HTTP/1.1\r\nHost: -a:443\r\n\r\n"),
]

TARGETS = ["request-head", "response-head", "chunked", "detect", "encode"]


@pytest.fixture(scope="module")
def targets(fuzz):
    return fuzz("targets").TARGETS


def test_every_target_is_here(fuzz, targets):
    assert list(targets) == TARGETS == list(fuzz("__main__").NAMES)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(targets, name):
    assert len(targets[name].seeds) >= 5
    for seed in targets[name].seeds:
        targets[name].check(seed)


@pytest.mark.parametrize(("name", "data"), FINDINGS)
def test_findings(targets, name, data):
    targets[name].check(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_with_edits(targets, name):
    """A little of what the fuzzer does, always the same, so that it is done where there is no fuzzer."""
    chance, target = random.Random(name), targets[name]
    for _ in range(300):
        data = chance.choice(target.seeds)
        for _ in range(chance.randint(1, 3)):
            at = chance.randint(0, len(data))
            put = chance.choice([*target.words, chance.randbytes(1), b""])
            data = data[:at] + put + data[at + chance.choice((0, 0, 1, len(put))) :]
        target.check(data)


def test_without_a_fuzzer_it_says_so_aloud(fuzz, monkeypatch, capsys):
    program = fuzz("__main__")
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(program.sys, "argv", ["fuzz"])
    assert program.main() == 0
    assert "SKIPPED, NOTHING WAS FUZZED" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nonsense"], ["--seconds", "0"]])
def test_bad_arguments_are_refused(fuzz, monkeypatch, arguments):
    program = fuzz("__main__")
    monkeypatch.setattr(program.sys, "argv", ["fuzz", *arguments])
    with pytest.raises(SystemExit, match="2"):
        program.main()


# --- with a codec that is broken, each target finds it --------------------------------------------------------------


def _another_payload(monkeypatch):
    """However it is cut the same, but not what others read."""
    feed = chunked.ChunkedDecoder.feed
    monkeypatch.setattr(chunked.ChunkedDecoder, "feed", lambda self, data: [p.upper() for p in feed(self, data)])


def _no_gathering(monkeypatch):
    """The beginning of a line is forgotten at a cut."""
    feed = chunked.ChunkedDecoder.feed

    def forgetful(self, data):
        self._pending = b""
        return feed(self, data)

    monkeypatch.setattr(chunked.ChunkedDecoder, "feed", forgetful)


def _other_codings(monkeypatch):
    """Both framings pass, and the length is sent on beside the coding."""

    def _length(seen, value):
        pass

    monkeypatch.setitem(facts.RULES, b"content-length", _length)


def _excess_is_dropped(monkeypatch):
    feed = bodies.LengthDecoder.feed

    def dropping(self, data):
        pieces = feed(self, data)
        self.leftover = b""
        return pieces

    monkeypatch.setattr(bodies.LengthDecoder, "feed", dropping)


def _hasty(monkeypatch):
    monkeypatch.setattr(detect, "_TARGETS", (b"/", b"http://", b"* "))


def _only_clean_spaces(monkeypatch):
    monkeypatch.setattr(detect, "_BLANKS", b" ")
    monkeypatch.setattr(detect, "_LONGEST_METHOD", 2)


def _any_line(monkeypatch):
    monkeypatch.setattr(encode, "_REQUEST_LINE", re.compile(rb"[^\x00]*"))


def _any_upgrade(monkeypatch):
    monkeypatch.setattr(encode, "UPGRADE", re.compile(rb"[^\x00]*"))


ANY = b"\x00POST / HTTP/1.1\r\nHost: a\r\n"
BROKEN = [
    (_another_payload, "chunked", b"\x005\r\nhello\r\n0\r\n\r\n"),
    (_no_gathering, "chunked", b"\x005\r\nhello\r\n0\r\n\r\n"),
    (_no_gathering, "request-head", ANY + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    (_other_codings, "request-head", ANY + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (_other_codings, "request-head", ANY + b"Content-Length: 5\r\n\r\nhello"),
    (_other_codings, "response-head", b"\x02HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"),
    (_excess_is_dropped, "request-head", ANY + b"Content-Length: 5\r\n\r\nhello"),
    (_excess_is_dropped, "response-head", b"\x00HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    (_hasty, "detect", b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (_only_clean_spaces, "detect", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (_any_line, "encode", b"\x00GET\xff/\r\nX: y\xff\xffHost\xffa"),
    (_any_upgrade, "encode", b"\x00GET\xff/\xffx\r\nY: z\xffHost\xffa"),
]


@pytest.mark.parametrize(("damage", "name", "data"), BROKEN, ids=[f"{row[0].__name__}-{row[1]}" for row in BROKEN])
def test_a_broken_codec_is_found(monkeypatch, targets, damage, name, data):
    targets[name].check(data)
    damage(monkeypatch)
    _forget()
    try:
        with pytest.raises(AssertionError):
            targets[name].check(data)
    finally:
        monkeypatch.undo()
        _forget()


def _forget():
    for parse in (http1.parse_request, http1.parse_response):
        remembered = parse.__globals__["_memory"]
        assert isinstance(remembered, memory.Memory)
        remembered.clear()
