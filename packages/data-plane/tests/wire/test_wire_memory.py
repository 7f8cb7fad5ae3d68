"""What is remembered of header sections, and what must not be."""

from __future__ import annotations

import pytest
from tulle_data_plane.wire.facts import REQUEST_FIELDS, RESPONSE_FIELDS, read_section
from tulle_data_plane.wire.http1 import DEFAULT_LIMITS, ProtocolError, parse_request
from tulle_data_plane.wire.memory import LARGEST, Memory

PLAIN = b"Host: a\r\nAccept: */*\r\n\r\n"


def test_kept_when_it_comes_a_second_time_and_found_the_third():
    memory = Memory(REQUEST_FIELDS)
    first, _ = memory.facts(PLAIN, DEFAULT_LIMITS)
    assert len(memory) == 0
    second, block = memory.facts(bytes(bytearray(PLAIN)), DEFAULT_LIMITS)
    assert block == PLAIN[:-2]
    assert len(memory) == 1
    assert memory.facts(bytes(bytearray(PLAIN)), DEFAULT_LIMITS)[0] is second is not first


def test_one_byte_of_difference_is_another_section():
    memory = Memory(REQUEST_FIELDS)
    for _ in range(3):
        assert memory.facts(PLAIN, DEFAULT_LIMITS)[0].host == "a"
        assert memory.facts(PLAIN.replace(b"a\r", b"b\r"), DEFAULT_LIMITS)[0].host == "b"


@pytest.mark.parametrize("field", [b"Authorization", b"cookie", b"Proxy-Authorization", b"X-API-Key"])
def test_secrets_of_requests_are_not_kept(field):
    memory = Memory(REQUEST_FIELDS)
    for _ in range(4):
        memory.facts(b"Host: a\r\n" + field + b": s3cret\r\n\r\n", DEFAULT_LIMITS)
    assert len(memory) == 0


def test_secrets_of_answers_are_not_kept():
    memory = Memory(RESPONSE_FIELDS)
    for _ in range(4):
        memory.facts(b"Set-Cookie: s3cret\r\n\r\n", DEFAULT_LIMITS)
    assert len(memory) == 0


def test_what_is_refused_is_not_kept():
    memory = Memory(REQUEST_FIELDS)
    for _ in range(4):
        with pytest.raises(ProtocolError):
            memory.facts(b"Host: a\r\nHost: a\r\n\r\n", DEFAULT_LIMITS)
    assert len(memory) == 0


@pytest.mark.parametrize(("over", "kept"), [(0, 1), (1, 0)])
def test_large_sections_are_not_kept(over, kept):
    memory = Memory(REQUEST_FIELDS)
    section = b"A: " + b"x" * (LARGEST + over - 7) + b"\r\n\r\n"
    for _ in range(4):
        memory.facts(section, DEFAULT_LIMITS)
    assert len(memory) == kept


def test_it_stays_small_and_goes_on_learning():
    memory = Memory(REQUEST_FIELDS, most=8)
    for number in range(200):
        for _ in range(2):
            memory.facts(b"Host: a\r\nA: %d\r\n\r\n" % number, DEFAULT_LIMITS)
        assert len(memory) <= 8
        assert memory.pending <= 64
    for number in range(200, 2000):
        memory.facts(b"Host: a\r\nA: %d\r\n\r\n" % number, DEFAULT_LIMITS)
        assert memory.pending <= 64
    kept = [memory.facts(PLAIN, DEFAULT_LIMITS)[0] for _ in range(2)]
    assert memory.facts(PLAIN, DEFAULT_LIMITS)[0] is kept[1]


def test_headers_of_one_message_are_not_those_of_the_next():
    # the section is shared, the Headers are not: an edit by a policy stays in its own request
    wire = b"GET / HTTP/1.1\r\nHost: not-shared\r\n\r\n"
    for _ in range(4):
        head = parse_request(wire)
        assert list(head.headers) == [("Host", "not-shared")]
        head.headers.set("host", "changed")


def test_a_hit_says_what_reading_says():
    memory = Memory(REQUEST_FIELDS)
    section = b"Host: a\r\nConnection: close, x\r\nX: 1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    fresh = read_section(section, REQUEST_FIELDS, DEFAULT_LIMITS)
    for _ in range(4):
        facts, block = memory.facts(section, DEFAULT_LIMITS)
        assert all(getattr(facts, name) == getattr(fresh, name) for name in fresh.__slots__)
        assert block == fresh.block
