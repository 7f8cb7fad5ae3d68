"""Quotas: who is given how much of one, dated when; and who is told how many share. Times are passed in."""

from math import inf, nan

import pytest
from tulle_control_plane.core.quota import MOST_QUOTAS, BadAsk, Quotas, Slice
from tulle_plugin_api.lease import Terms

Q = "MeshPolicy default/limit app-b requests"
TERMS = Terms(100, 1, 20, 10)  # 100 a second, 20 at once


def ask(quotas, holder, now, tokens=10, taken=0, name=Q, terms=TERMS):
    """What is said to the asker; `others` are what is said beside it."""
    (to, slice), *others = quotas.ask(holder, name, terms, tokens, taken, now)
    assert to == holder
    ask.others = others
    return slice


def test_a_new_quota_is_empty_so_that_a_restart_gives_no_second_burst():
    assert ask(Quotas(), "a", 100.0) == Slice(Q, 10, pytest.approx(0.1), 1)


def test_a_quiet_time_fills_it_to_its_burst_and_no_further():
    quotas = Quotas()
    ask(quotas, "a", 100.0, tokens=0)
    slices = [ask(quotas, "a", 200.0).after for _ in range(4)]
    assert slices == [0.0, 0.0, pytest.approx(0.1), pytest.approx(0.2)]


def test_those_who_all_want_more_than_there_is_take_turns():
    quotas, given = Quotas(), {"a": 0, "b": 0, "c": 0}
    due = dict.fromkeys(given, 0.0)
    for millisecond in range(10_000):
        now = 100 + millisecond / 1000
        for holder, at in due.items():
            if now >= at:  # its slice has come, and it asks for the next
                due[holder] = now + ask(quotas, holder, now).after
                given[holder] += 10
    assert max(given.values()) - min(given.values()) <= 10
    assert abs(sum(given.values()) - 1000) <= 30 + 10, "a slice of each is still to come"


def test_what_was_taken_ahead_is_counted():
    quotas = Quotas()
    ask(quotas, "a", 100.0, tokens=0, taken=10)
    assert ask(quotas, "b", 100.0).after == pytest.approx(0.2)


def test_an_answer_says_how_many_share_and_the_others_are_told():
    quotas = Quotas()
    assert ask(quotas, "a", 100.0, tokens=0).sharers == 1
    assert ask(quotas, "b", 100.0, tokens=0).sharers == 2
    assert ask.others == [("a", Slice(Q, 0, 0.0, 2, answer=False))]
    ask(quotas, "b", 100.0)
    assert ask.others == [], "who shares already is no news"
    assert quotas.release("b", Q) == [("a", Slice(Q, 0, 0.0, 1, answer=False))]
    assert quotas.release("b", Q) == quotas.release("stranger", Q) == quotas.release("a", "unknown") == []


def test_a_quota_that_nobody_shares_is_forgotten():
    quotas = Quotas()
    for name in ("q1", "q2"):
        ask(quotas, "a", 100.0, name=name)
    ask(quotas, "b", 100.0, name="q2")
    assert quotas.leave("a") == [("b", Slice("q2", 0, 0.0, 1, answer=False))]
    assert (len(quotas), quotas.sharers("q1"), quotas.sharers("q2")) == (1, 0, 1)
    assert quotas.leave("b") == quotas.leave("a") == []
    assert len(quotas) == 0


def test_quotas_are_apart():
    quotas = Quotas()
    for _ in range(5):
        ask(quotas, "a", 100.0, name="q1")
    assert ask(quotas, "a", 100.0, name="q2").after == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"name": ""}, "a quota's name has 1 to 1024 characters, this one has 0"),
        ({"name": "x" * 1025}, "this one has 1025"),
        ({"terms": Terms(0, 1, 1, 1)}, "requests of .*: more than 0 and at most 1e12, got 0"),
        ({"terms": Terms(1, nan, 1, 1)}, "per_seconds of .*: more than 0 and at most 1e12, got nan"),
        ({"terms": Terms(1, 1, inf, 1)}, "burst of .*: more than 0"),
        ({"tokens": 10_000_001}, "tokens of .*: 0 to 10000000, got 10000001"),
        ({"taken": -1}, "taken of .*: 0 to 10000000, got -1"),
    ],
)
def test_an_ask_that_makes_no_sense_is_refused_whole(given, problem):
    quotas = Quotas()
    with pytest.raises(BadAsk, match=problem):
        ask(quotas, "a", 100.0, **given)
    assert len(quotas) == 0


def test_a_holder_shares_a_bounded_number():
    quotas = Quotas()
    for number in range(MOST_QUOTAS):
        ask(quotas, "a", 100.0, name=f"q{number}")
    with pytest.raises(BadAsk, match=f"more than {MOST_QUOTAS} quotas; release"):
        ask(quotas, "a", 100.0, name="one more")
    ask(quotas, "a", 100.0, name="q0")
    ask(quotas, "b", 100.0, name="one more")
