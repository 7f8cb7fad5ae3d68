"""Chunks to events: cut anywhere, the same; what is no event is refused."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_catalog_kubernetes.lines import Lines, Unreadable

EVENTS = [{"type": "ADDED", "object": {"n": n, "text": "é\n" * n}} for n in range(4)]
STREAM = b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in EVENTS)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_cut_anywhere(cuts):
    lines, told, edges = Lines(), [], [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        told += lines.feed(STREAM[start:end])
    assert told == EVENTS


def test_byte_by_byte_and_with_bytes_left_over():
    lines = Lines()
    told = [event for byte in STREAM + b'{"type"' for event in lines.feed(bytes([byte]))]
    assert told == EVENTS


def test_empty_lines_are_nothing():
    assert list(Lines().feed(b"\n \n\r\n")) == []


@pytest.mark.parametrize(
    "line", [b"x", b"[]", b"{}", b'{"type":1,"object":{}}', b'{"type":"ADDED"}', b'{"type":"ADDED","object":[]}',
             b"[" * 100_000, b'\xff{"type":"ADDED","object":{}}'],
)  # fmt: skip
def test_refused(line):
    with pytest.raises(Unreadable):
        list(Lines().feed(line + b"\n"))


def test_a_line_without_end_is_given_up():
    lines = Lines()
    with pytest.raises(Unreadable, match="more than"):
        for _ in range(20):
            list(lines.feed(b"x" * 1024 * 1024))
