"""What `make acceptance` makes of what was measured: the line, what is short, and what is looked at a second time."""

import pytest

from tests.acceptance.__main__ import looked_at
from tests.acceptance.figure import ByTime, Figure, judged

SLOW, FAILED = (False, ByTime("more than 2 s")), (False, "failed: 1 x reset")


def looked(*tries):
    """(line, is short, how often it was measured), of a figure that comes out so, one time after the other."""
    left = list(tries)
    line, short = looked_at(Figure("wait", "within 2 s", lambda mesh: left.pop(0)), None, verbose=False)
    return line, short, len(tries) - len(left)


@pytest.mark.parametrize(("bars", "short", "measured"), [
    ([], False, 1),
    ([SLOW], False, 2),
    ([SLOW, FAILED], True, 1),
    ([FAILED], True, 1),
])  # fmt: skip
def test_only_what_is_short_of_nothing_but_times_is_looked_at_again(bars, short, measured):
    assert looked(judged("3 s", *bars), judged("1 s"))[1:] == (short, measured)


def test_the_second_look_counts_and_the_first_is_told():
    assert looked(judged("3 s", SLOW), judged("1 s"))[0] == "wait: 1 s (within 2 s); the first time: 3 s, more than 2 s"
    line, short, _ = looked(judged("3 s", SLOW), judged("4 s", SLOW))
    assert short
    assert line == "wait: 4 s (within 2 s)  <-- SHORT: more than 2 s; the first time: 3 s, more than 2 s"
    assert looked(judged("3 s", SLOW), judged("1 s", FAILED))[1], "a request that fails is never by time"
