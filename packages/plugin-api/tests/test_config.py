"""Configuration: what is accepted, and what exactly is said about what is not."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_plugin_api import Config, ConfigError, Duration, duration
from tulle_plugin_api.config import decode, schema


class Backoff(Config):
    """How long between tries."""

    base: Duration = duration("25ms")


class Retry(Config):
    """An example with every kind of field."""

    attempts: int
    on: list[str] = msgspec.field(default_factory=list)
    backoff: Backoff = msgspec.field(default_factory=Backoff)
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    total: Duration | None = None
    share: float = 0.2
    steps: list[Backoff | None] = msgspec.field(default_factory=list)
    named: dict[str, Backoff] = msgspec.field(default_factory=dict)


def test_everything_given():
    data = {"attempts": 3, "on": ["5xx"], "backoff": {"base": "1s"}, "limits": {"a": 1}, "total": "1h", "share": 0.5}
    assert decode(Retry, data) == Retry(3, ["5xx"], Backoff(Duration(1)), {"a": 1}, Duration(3600), 0.5)


def test_defaults():
    decoded = decode(Retry, {"attempts": 3})
    assert decoded.backoff.base == 0.025
    assert isinstance(decoded.backoff.base, Duration)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "spec.config: object missing required field attempts"),
        (None, "spec.config: expected object, got null"),
        ([], "spec.config: expected object, got array"),
        ({"attempts": "3"}, "spec.config.attempts: expected int, got str ('3')"),
        ({"attempts": 3, "atempts": 4}, "spec.config: unknown field 'atempts'; did you mean 'attempts'?"),
        (
            {"attempts": 3, "zzz": 4},
            "spec.config: unknown field 'zzz'; known fields: attempts, on, backoff, limits, total, share, steps, named",
        ),
        ({"attempts": 3, "on": ["5xx", 503]}, "spec.config.on[1]: expected str, got int (503)"),
        ({"attempts": 3, "limits": {"a": "x"}}, "spec.config.limits[...]: expected int, got str ({'a': 'x'})"),
        (
            {"attempts": 3, "backoff": {"base": "1"}},
            "spec.config.backoff.base: expected a duration such as \"10s\", \"500ms\" or \"1h30m\", got '1'",
        ),
        ({"attempts": 3, "backoff": {"bse": "1s"}}, "spec.config.backoff: unknown field 'bse'; did you mean 'base'?"),
        (
            {"attempts": 3, "steps": [None, {"bse": "1s"}]},
            "spec.config.steps[1]: unknown field 'bse'; did you mean 'base'?",
        ),
        (
            {"attempts": 3, "named": {"a": {"bse": "1s"}}},
            "spec.config.named[...]: unknown field 'bse'; did you mean 'base'?",
        ),
        (
            {"attempts": 3, "total": 5},
            'spec.config.total: expected a duration such as "10s", "500ms" or "1h30m", got 5',
        ),
    ],
)
def test_refusals_say_where_what_and_what_would_be_right(data, problem):
    with pytest.raises(ConfigError) as refused:
        decode(Retry, data)
    assert refused.value.problems == [problem]
    assert str(refused.value) == problem


def test_the_path_is_the_callers():
    with pytest.raises(ConfigError, match=r"^exporter\.options\.attempts: expected int"):
        decode(Retry, {"attempts": "x"}, "exporter.options")


def test_a_type_that_configuration_cannot_hold_is_the_authors_mistake():
    class Odd(Config):
        """Odd."""

        pattern: re.Pattern

    with pytest.raises(NotImplementedError, match="not a type that plugin configuration can hold"):
        decode(Odd, {"pattern": "x"})


# --- durations: GEP-2257 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("10s", 10),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1h2m3s4ms", 3723.004),
        ("2ms1h", 3600.002),  # any order
        ("1s1s", 2),  # and again
        ("99999h", 99999 * 3600),
        ("100ms", 0.1),
    ],
)
def test_durations(text, seconds):
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "10", "s", "1.5s", "-1s", "+1s", "1 s", " 1s", "1s\n", "100000s", "1d", "1us", "1S", "1h1h1h1h1h", "١s"],
)
def test_what_is_no_duration(text):
    problem = f'expected a duration such as "10s", "500ms" or "1h30m", got {text!r}'
    with pytest.raises(ValueError, match=re.escape(problem)):
        Duration.parse(text)


@pytest.mark.parametrize("value", [None, 1, 1.5, True, ["1s"], b"1s"])
def test_only_text_is_a_duration(value):
    with pytest.raises(ValueError, match="expected a duration"):
        Duration.parse(value)


@given(*[st.integers(0, 99999)] * 4)
def test_durations_add_up(hours, minutes, seconds, millis):
    expected = hours * 3600 + minutes * 60 + seconds + millis / 1000
    assert Duration.parse(f"{hours}h{minutes}m{seconds}s{millis}ms") == pytest.approx(expected, abs=1e-6)


# --- schemas --------------------------------------------------------------------------------------------------


def test_the_schema_names_types_defaults_and_descriptions():
    described = schema(Retry)
    retry = described["$defs"]["Retry"]
    assert retry["description"] == "An example with every kind of field."
    assert retry["required"] == ["attempts"]
    assert retry["additionalProperties"] is False
    assert retry["properties"]["attempts"] == {"type": "integer"}
    assert described["$defs"]["Backoff"]["properties"]["base"]["format"] == "duration"


def test_a_schema_of_what_has_none():
    class Odd(Config):
        """Odd."""

        pattern: re.Pattern

    with pytest.raises(TypeError, match="Pattern'> is not supported"):
        schema(Odd)
