"""The knobs as values: what they take, what they refuse, and what they decide."""

from dataclasses import fields, replace

import pytest
from tulle_sample_app.knobs import PARSERS, KnobError, Knobs, decide, from_environment, turn


def test_every_knob_can_be_turned():
    assert list(PARSERS) == [field.name for field in fields(Knobs)]


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("version", "v2", "v2"),
    ("failure_rate", "0.25", 0.25),
    ("failure_rate", "25%", 0.25),
    ("failure_rate", 1, 1.0),
    ("failure_status", "500", 500),
    ("latency_ms", "1.5", 1.5),
    ("answer_bytes", " 1000 ", 1000),
    ("chunked", "TRUE", True),
    ("ready", False, False),
    ("healthy", "0", False),
    ("load_rps", "100", 100.0),
])
def test_turned(name, value, expected):
    assert turn(Knobs(), {name: value}) == replace(Knobs(), **{name: expected})


@pytest.mark.parametrize(("name", "value"), [
    ("version", ""), ("version", "a\nb"), ("version", "v" * 65), ("failure_rate", "1.1"), ("failure_rate", "-1%"),
    ("failure_rate", "nan"), ("failure_rate", "often"), ("failure_status", "200"), ("failure_status", "600"),
    ("latency_ms", "-1"), ("latency_ms", "inf"), ("jitter_ms", "nan"), ("answer_bytes", "1e3"),
    ("answer_bytes", str(10**9)), ("chunked", "maybe"), ("ready", ""), ("load_rps", "100000"),
])
def test_refused(name, value):
    with pytest.raises(KnobError, match=rf"{name}: .* is not right; give "):
        turn(Knobs(), {name: value})


def test_all_or_nothing_and_unknown_names_are_listed():
    with pytest.raises(KnobError, match=r"no knob 'latency'; there are .*latency_ms"):
        turn(Knobs(), {"version": "v2", "latency": "1"})


def test_environment():
    knobs = from_environment({"APP_VERSION": "v2", "APP_FAILURE_RATE": "0.5", "LOAD_RPS": "20", "APP_OTHER": "x"})
    assert knobs == replace(Knobs(), version="v2", failure_rate=0.5, load_rps=20)
    with pytest.raises(KnobError, match="APP_LATENCY_MS"):
        from_environment({"APP_LATENCY_MS": "slow"})


def test_fate():
    knobs = Knobs(latency_ms=100, jitter_ms=50, failure_rate=0.2, failure_status=500)
    assert (decide(knobs, lambda: 0.5).delay, decide(knobs, lambda: 0.5).status) == (0.125, None)
    assert decide(knobs, lambda: 0.2).status is None  # the share is exact: below it fails, at it does not
    assert decide(knobs, lambda: 0.199).status == 500
    assert decide(replace(knobs, failure_rate=1), lambda: 0.999999).status == 500
    assert decide(replace(knobs, failure_rate=0), lambda: 0.0).status is None
