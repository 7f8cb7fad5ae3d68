"""What is read by its shape means what `read_section` says, which here is the reference: it knows of no memory."""

from __future__ import annotations

import gc
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_data_plane.wire import memory as memory_module
from tulle_data_plane.wire import shapes as shapes_module
from tulle_data_plane.wire.facts import REQUEST_FIELDS, RESPONSE_FIELDS, read_section
from tulle_data_plane.wire.grammar import VALUE
from tulle_data_plane.wire.http1 import DEFAULT_LIMITS, Limits, ProtocolError
from tulle_data_plane.wire.memory import Memory
from tulle_data_plane.wire.shapes import PER_LENGTH

REQUEST = b"Host: app\r\nAccept: */*\r\nX-Request-Id: %04d\r\nTE: trailers\r\nConnection: keep-alive\r\nX: y\r\n\r\n"
ANSWER = b"Server: x\r\nDate: %04d\r\nConnection: keep-alive\r\nContent-Length: %04d\r\n\r\n"


FACTS = ("count", "framing", "host", "close", "persist", "upgrade", "expect_continue", "te_trailers", "secret")


@pytest.fixture(autouse=True, scope="module")
def _learn_at_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes_module, "LEARN_EVERY", 1)
        yield


def by_reference(section: bytes, finder: re.Pattern[bytes], limits: Limits) -> Any:
    try:
        facts = read_section(section, finder, limits)
    except ProtocolError as error:
        return error.reason, error.detail
    return {name: getattr(facts, name) for name in FACTS} | {"block": facts.block}


def by_memory(memory: Memory, section: bytes, limits: Limits) -> Any:
    try:
        facts, block = memory.facts(section, limits)
    except ProtocolError as error:
        return error.reason, error.detail
    return {name: getattr(facts, name) for name in FACTS} | {"block": block}


def learned(*sections: bytes, finder: re.Pattern[bytes] = REQUEST_FIELDS) -> Memory:
    memory = Memory(finder)
    for section in sections:
        memory.facts(section, DEFAULT_LIMITS)
    return memory


def unread(*_: object) -> Any:
    raise AssertionError("read_section was asked")


def test_a_value_that_never_came_before_is_read_by_the_shape(monkeypatch):
    memory = learned(REQUEST % 1, REQUEST % 2)
    monkeypatch.setattr(memory_module, "read_section", unread)
    for number in range(3, 50):
        section = REQUEST % number
        assert by_memory(memory, section, DEFAULT_LIMITS) == by_reference(section, REQUEST_FIELDS, DEFAULT_LIMITS)
    assert len(memory.shapes) == 1


def test_lengths_of_answers_are_judged_anew(monkeypatch):
    memory = learned(*[ANSWER % (number, number) for number in range(2)], finder=RESPONSE_FIELDS)
    monkeypatch.setattr(memory_module, "read_section", unread)
    for number in range(2, 50):
        facts, block = memory.facts(ANSWER % (number, number), DEFAULT_LIMITS)
        assert facts.framing == (1, number)
        assert block == b"Server: x\r\nDate: %04d\r\nContent-Length: %04d\r\n" % (number, number)
    for bad in (b"+012", b"0x12", b"0X1F", b"1_23", b"1, 2", b"    ", b"-123", b"\xb2123"):
        section = (ANSWER % (1, 0)).replace(b"0000", bad)
        said = by_memory(memory, section, DEFAULT_LIMITS)
        assert said[0] == "bad-content-length"
        assert said == by_reference(section, RESPONSE_FIELDS, DEFAULT_LIMITS)


HOSTILE = (b"\r\nX:", b"\n\rX:", b"1\r\n2", b"\x00000", b"a\nbc", b"a\rbc", b"\x7fabc", b"a\x1b[0")


@pytest.mark.parametrize("value", HOSTILE)
def test_no_line_comes_in_by_a_value(value):
    memory = learned(REQUEST % 1, REQUEST % 2)
    section = (REQUEST % 3).replace(b"0003", value)
    assert by_memory(memory, section, DEFAULT_LIMITS) == by_reference(section, REQUEST_FIELDS, DEFAULT_LIMITS)


def test_a_second_host_in_a_value_is_found_and_would_not_be_without_the_check():
    first = b"Host: app\r\nX-Id: 0123456789\r\n\r\n"
    memory = learned(first, first.replace(b"0123", b"3210"))
    hidden = first.replace(b"0123456789", b"0\r\nHost: b")
    with pytest.raises(ProtocolError, match="more than one Host"):
        memory.facts(hidden, DEFAULT_LIMITS)
    (shape,) = memory.shapes.get(len(hidden)) or ()
    assert shape.fixed(hidden) == shape.same  # all the rest is as it was
    assert b"\r" in b"".join(shape.values(hidden))  # and this is what gives it away


def test_all_that_is_printable_in_latin_1_may_be_in_a_value():
    for number in range(256):
        byte = bytes([number])
        if byte.decode("latin-1").isprintable():
            assert re.fullmatch(VALUE, byte)


@pytest.mark.parametrize(("over", "refused"), [(-1, True), (0, False), (1, False)])
def test_the_limit_of_fields_holds_for_a_shape(over, refused):
    memory = learned(REQUEST % 1, REQUEST % 2)
    limits = Limits(fields=6 + over)
    said = by_memory(memory, REQUEST % 3, limits)
    assert said == by_reference(REQUEST % 3, REQUEST_FIELDS, limits)
    assert (said[0] == "too-many-fields") if refused else (said["count"] == 6)


@pytest.mark.parametrize("field", [b"Authorization", b"cookie", b"Proxy-Authorization", b"X-API-Key"])
def test_secrets_stay_in_no_shape(field, monkeypatch):
    section = b"Host: app\r\n" + field + b": s3cret%d\r\nA: %d\r\n\r\n"
    memory = learned(*[section % (number, number) for number in range(3)])
    seen: set[int] = set()
    todo: list[Any] = [memory]
    while todo:  # everything that it holds
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type) or (callable(thing) and not hasattr(thing, "__self__")):
            continue  # functions, which lead to all modules
        seen.add(id(thing))
        assert not isinstance(thing, bytes) or b"s3cret" not in thing
        todo += gc.get_referents(thing)
    monkeypatch.setattr(memory_module, "read_section", unread)
    assert memory.facts(section % (7, 7), DEFAULT_LIMITS)[0].secret


def test_what_decides_may_not_vary():
    first = b"Host: aa\r\nX-Id: 1\r\n\r\n"
    memory = learned(first, first.replace(b"1", b"2"), first.replace(b"aa", b"bb"))
    assert memory.facts(first.replace(b"aa", b"bb"), DEFAULT_LIMITS)[0].host == "bb"
    with pytest.raises(ProtocolError, match="not a host"):
        memory.facts(first.replace(b"aa", b"a,"), DEFAULT_LIMITS)


def test_a_field_that_connection_names_is_in_no_shape():
    section = b"Host: a\r\nConnection: x-id\r\nX-Id: %d\r\nY: %d\r\n\r\n"
    memory = learned(*[section % (number, number) for number in range(4)])
    assert len(memory.shapes) == 0
    assert memory.facts(section % (5, 5), DEFAULT_LIMITS)[1] == b"Host: a\r\nY: 5\r\n"


def test_it_stays_small_and_goes_on_learning():
    memory = Memory(REQUEST_FIELDS)
    for number in range(1000):  # other names each time, in many lengths
        memory.facts(b"Host: a\r\nA%05d: %s\r\n\r\n" % (number, b"x" * (number % 97)), DEFAULT_LIMITS)
        assert len(memory.shapes) <= 128
        assert all(len(memory.shapes.get(size) or ()) <= PER_LENGTH for size in range(140))
    assert len(memory.shapes) == sum(len(memory.shapes.get(size) or ()) for size in range(140))
    assert learned(b"A: " + b"x" * memory_module.LARGEST + b"\r\n\r\n").shapes.get(memory_module.LARGEST + 7) is None
    memory.clear()
    assert len(memory.shapes) == len(memory) == 0


# --- whatever comes -------------------------------------------------------------------------------------------------

# fmt: off
LINES = [
    b"Host: app", b"host: app", b"Host:  a:80 ", b"X-A: 0123456789", b"x-a:9876543210", b"Accept: */*", b"Cookie: a=b",
    b"Authorization: Basic abc", b"TE: trailers", b"TE: gzip", b"Expect: 100-continue", b"Keep-Alive: timeout=5",
    b"Connection: close", b"Connection: keep-alive", b"Connection: x-a, te", b"Connection: upgrade",
    b"Upgrade: websocket", b"Content-Length: 0005", b"Content-Length: 12", b"Transfer-Encoding: chunked",
    b"Set-Cookie: s=1", b"Date: now", b"X-Empty:", b"Xhost: 1",
]
PIECES = [
    b"\r\n", b"\r", b"\n", b":", b"\r\nHost: b", b"Host", b"\x00", b"\t", b" ", b"\xff", b"\xa0", b"0", b"9", b"-",
    b"\r\nTE:",
]
# fmt: on
some_lines = st.lists(st.sampled_from(LINES), min_size=1, max_size=6)
changes = st.lists(
    st.tuples(st.integers(0, 10**6), st.one_of(st.sampled_from(PIECES), st.binary(min_size=1, max_size=5))),
    min_size=0, max_size=3,
)  # fmt: skip


def overwritten(section: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    """As long as it was."""
    for at, piece in edits:
        at %= len(section)
        section = (section[:at] + piece + section[at + len(piece) :])[: len(section)]
    return section


@settings(max_examples=400, deadline=None)
@given(
    st.lists(some_lines, min_size=1, max_size=2),
    st.lists(st.tuples(st.booleans(), changes), min_size=3, max_size=8),
    st.sampled_from([REQUEST_FIELDS, RESPONSE_FIELDS]),
    st.sampled_from([DEFAULT_LIMITS, Limits(fields=3)]),
)
def test_what_is_read_by_memory_is_what_is_read_without(kinds, messages, finder, limits):
    sections = [b"\r\n".join([*lines, b"", b""]) for lines in kinds]
    memory = Memory(finder)
    for second, edits in messages:
        section = overwritten(sections[-1 if second else 0], edits)
        for _ in range(2):
            assert by_memory(memory, section, limits) == by_reference(section, finder, limits)


values = st.text("0123456789abcdefghijklmnop ,=\xe9\xa0\t\r\n\x00", min_size=4, max_size=4).map(
    lambda text: text.encode("latin-1")
)


@settings(max_examples=400, deadline=None)
@given(some_lines, st.integers(0, 6), st.lists(values, min_size=3, max_size=8), st.booleans())
def test_values_that_never_repeat(lines, at, ids, lengths):
    memory = Memory(REQUEST_FIELDS)
    for id_ in [b"0001", b"0002", *ids]:
        field = b"Content-Length: " if lengths else b"X-Id: "
        section = b"\r\n".join([*lines[:at], field + id_, *lines[at:], b"", b""])
        assert by_memory(memory, section, DEFAULT_LIMITS) == by_reference(section, REQUEST_FIELDS, DEFAULT_LIMITS)
