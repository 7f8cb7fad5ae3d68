"""Patterns: the dialect, its refusals, and that they match what `re` matches, in linear time."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_plugin_api import patterns
from tulle_plugin_api.patterns import LONGEST_TEXT, Pattern, PatternError

ATOMS = ["a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\W", r"\.", "/", "(?:ab|)", "(a|bc)", "x"]


REPEATED = ["", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}?"]
PIECES = st.builds(str.__add__, st.sampled_from(ATOMS), st.sampled_from(REPEATED))
SEQUENCES = st.lists(PIECES, max_size=4).map("".join)
GROUPS = st.builds("({}|{}){}".format, SEQUENCES, SEQUENCES, st.sampled_from(["", "*", "?", "{2}"]))
PATTERNS = st.lists(st.one_of(PIECES, GROUPS), max_size=4).map("".join)


@settings(max_examples=100, deadline=None)
@given(PATTERNS, st.lists(st.text("abcx/.1 \n", max_size=7), min_size=1, max_size=5))
def test_it_matches_what_re_matches(text: str, subjects: list[str]) -> None:
    theirs, ours = re.compile(text, re.ASCII), Pattern(text)
    for subject in subjects:
        assert ours.matches(subject) == (theirs.fullmatch(subject) is not None), (text, subject)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("/v[0-9]+/.*", ["/v1/", "/v22/a/b"], ["/v/", "/v1", "x/v1/"]),
        ("^/a$", ["/a"], ["/a/", "", "/A"]),
        ("(?i)/Ab[c-d]", ["/aBC", "/ABD"], ["/abe"]),
        ("", [""], ["a"]),
        ("a|", ["a", ""], ["aa"]),
        (r"[\d\-x]+", ["1-x"], ["y"]),
        ("[]a]+", ["]a"], ["b"]),
        (r"\x41é", ["Aé"], ["é"]),
        ("(?P<name>x)+", ["xx"], [""]),
        ("a{2,}", ["aa", "aaa"], ["a"]),
        ("[^a]", ["é", "ÿ", "Ā"], ["a", ""]),
    ],
)
def test_the_dialect(text: str, yes: list[str], no: list[str]) -> None:
    pattern = Pattern(text)
    assert [subject for subject in yes if not pattern.matches(subject)] == []
    assert [subject for subject in no if pattern.matches(subject)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(a", '"(" without ")"'), ("a)", '")" without "("'), ("[a", '"[" without "]"'), ("*a", "nothing to repeat"),
        ("a**", "two repetitions"), (r"(a)\1", "back references"), ("(?=a)", "look-around"), (r"\ba", "boundaries"),
        ("a^b", "only at the end"), ("(a$)", "only at the end"), ("a{2,1}", "{2,5}"), ("a{x}", "{2,5}"),
        ("a\\", "backslash"), ("[b-a]", "ends before it begins"), ("[[:alpha:]]", "POSIX"),
        ("(a{100}){100}", "too large"), ("[a-\\d]", "on each side"), ("a{1,99999}", "{2,5}"), ("(" * 60, "deep"),
        (r"\xg1", "hexadecimal"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(text: str, words: str) -> None:
    with pytest.raises(PatternError, match=re.escape(words)):
        Pattern(text)


def test_time_is_linear_where_res_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in steps, not in seconds: a table of a few states, and one look-up in it for each character."""
    computed = []
    step = Pattern._step

    def counting(self: Pattern, state: Any, which: int) -> Any:
        computed.append(which)
        return step(self, state, which)

    monkeypatch.setattr(Pattern, "_step", counting)
    for text in ("(a+)+b", "(a|a)*b", "(a|aa)+b", ".*.*.*.*x", "(a?){30}a{30}"):
        computed.clear()
        assert not Pattern(text).matches("a" * 5000 + "!")
        assert len(computed) <= 100, text


def test_the_table_is_bounded() -> None:
    """(a|b)*a(a|b){12} has 2**12 states, one for each way to have arrived."""
    pattern = Pattern("[ab]*a[ab]{12}")
    for number in range(3000):
        text = format(number, "014b").replace("0", "a").replace("1", "b")
        assert pattern.matches(text) == (re.fullmatch("[ab]*a[ab]{12}", text) is not None)
        assert len(pattern._states) <= patterns._MOST_STATES + 1


def test_a_text_that_is_too_long_matches_nothing() -> None:
    assert Pattern("a*").matches("a" * LONGEST_TEXT)
    assert not Pattern("a*").matches("a" * (LONGEST_TEXT + 1))
