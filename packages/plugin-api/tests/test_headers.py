"""Headers against the plainest model there is: a list of pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tulle_plugin_api import Headers

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# few names, some of which begin or end like another, so that look-ups have something to confuse
NAMES = st.sampled_from(["a", "A", "ab", "b", "x-a", "X-A", "a-x"]) | st.text(TOKEN, min_size=1, max_size=4)
# values with what could be mistaken for a line
VALUES = st.sampled_from(["", "1", "a: 2", "x-a:", ": a"]) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters=[chr(c) for c in range(0x7F, 0x80)])
).map(lambda text: text.strip(" \t"))


class Model(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.headers, self.model = Headers(), []

    def values(self, name):
        return [value for known, value in self.model if known.lower() == name.lower()]

    @rule(name=NAMES, value=VALUES)
    def add(self, name, value):
        self.headers.add(name, value)
        self.model.append((name, value))

    @rule(name=NAMES, value=VALUES)
    def set(self, name, value):
        self.headers.set(name, value)
        self.model = [pair for pair in self.model if pair[0].lower() != name.lower()] + [(name, value)]

    @rule(name=NAMES)
    def remove(self, name):
        assert self.headers.remove(name) == bool(self.values(name))
        self.model = [pair for pair in self.model if pair[0].lower() != name.lower()]

    @rule(name=NAMES)
    def look_up(self, name):
        found = self.values(name)
        assert self.headers.get_all(name) == found
        assert self.headers.get(name) == (found[0] if found else None)
        assert self.headers.get(name, "other") == (found[0] if found else "other")
        assert (name in self.headers) == bool(found)

    @rule(name=NAMES, value=VALUES)
    def a_copy_is_independent(self, name, value):
        self.headers.copy().set(name, value)

    @rule(name=NAMES, bad=st.sampled_from("\r\n\x00\x1f\x7f€"), where=st.integers(0, 3))
    def what_is_refused_changes_nothing(self, name, bad, where):
        value = "abc"[:where] + bad + "abc"[where:]
        for edit in (self.headers.add, self.headers.set):
            with pytest.raises(ValueError, match="value of"):
                edit(name, value)

    @invariant()
    def same_fields_in_the_same_order(self):
        assert list(self.headers) == self.model
        assert len(self.headers) == len(self.model)
        assert self.headers == Headers.of(self.model) == Headers(self.headers.block)


TestModel = Model.TestCase


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_the_block_is_what_goes_on_the_wire(fields):
    assert Headers.of(fields).block == "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


@pytest.mark.parametrize("block", [b"Name:value\r\n", b"name: value\r\n", b"NAME:\t value \t\r\n"])
def test_space_around_a_value_is_not_part_of_it(block):
    headers = Headers(block)
    assert headers.get("name") == "value"
    assert headers.get_all("Name") == ["value"]
    assert [value for _, value in headers] == ["value"]


def test_what_arrived_is_passed_on_byte_for_byte():
    block = b"X-OddCase:  1\r\nhost: app-b\r\nX-OddCase: 2\r\n"
    headers = Headers(block)
    assert headers.get("x-oddcase") == "1"
    assert headers.block == block


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\n", "\n", "é", "€", "a\x00", "(a)"])
def test_names_that_are_no_names_are_refused(name):
    headers = Headers.of([("a", "1")])
    for work in (
        lambda: headers.add(name, "x"),
        lambda: headers.set(name, "x"),
        lambda: headers.get(name),
        lambda: headers.remove(name),
        lambda: Headers.of([(name, "x")]),
    ):
        with pytest.raises(ValueError, match="is not a field name"):
            work()
    assert list(headers) == [("a", "1")]


@given(st.text(), st.text())
def test_no_text_whatever_makes_a_second_line(name, value):
    try:
        block = Headers.of([(name, value)]).block
    except ValueError:
        return
    assert block.endswith(b"\r\n")
    assert block.count(b"\n") == block.count(b"\r") == 1


def test_names_from_outside_do_not_fill_memory():
    from tulle_plugin_api import headers as module

    some = Headers.of([("a", "1")])
    for number in range(3000):
        some.get(f"x-{number}")
    assert len(module._needles) <= 1024
    assert some.get("x-2999") is None


def test_equality_is_without_the_names_case():
    assert Headers.of([("A", "1")]) == Headers.of([("a", "1")])
    assert Headers.of([("a", "x")]) != Headers.of([("a", "X")])
    assert Headers() != []
    with pytest.raises(TypeError):
        hash(Headers())


def test_shown_as_pairs():
    assert repr(Headers.of([("a", "1")])) == "Headers([('a', '1')])"
