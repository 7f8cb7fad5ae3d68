"""The faults and habits that can be turned while the app runs. Pure: values in, values out.

Each knob is an environment variable at the start, a field of `POST /knobs` for the process, and a query
parameter for one request.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

MAX_ANSWER_BYTES = 64 * 1024 * 1024


class KnobError(Exception):
    """A knob that does not exist, or a value that it cannot take; the message says what would be right."""


@dataclass(frozen=True)
class Knobs:
    """How the app behaves. Times are milliseconds, rates are shares from 0 to 1."""

    version: str = "v1"
    failure_rate: float = 0.0
    failure_status: int = 503
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    answer_bytes: int = 0
    chunked: bool = False
    ready: bool = True
    healthy: bool = True
    load_rps: float = 0.0


# knobs that belong to the process and make no sense for one request
PROCESS_ONLY = {"ready", "healthy", "load_rps"}


@dataclass(frozen=True)
class Fate:
    """What happens to one request: wait `delay` seconds, then answer, or fail with `status`."""

    delay: float
    status: int | None


def decide(knobs: Knobs, roll: Callable[[], float]) -> Fate:
    """Decide a request's fate. `roll` returns a number from 0 to 1, excluded (random.random)."""
    delay = (knobs.latency_ms + knobs.jitter_ms * roll()) / 1000
    return Fate(delay, knobs.failure_status if roll() < knobs.failure_rate else None)


def turn(knobs: Knobs, changes: Mapping[str, object]) -> Knobs:
    """Return knobs with `changes` made: all of them, or a KnobError and none."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in PARSERS:
            raise KnobError(f"there is no knob {name!r}; there are {', '.join(PARSERS)}")
        parse, right = PARSERS[name]
        try:
            values[name] = parse(str(value).strip())
        except ValueError:
            raise KnobError(f"{name}: {value!r} is not right; give {right}") from None
    return replace(knobs, **values)


def from_environment(environment: Mapping[str, str]) -> Knobs:
    """Read APP_VERSION, APP_FAILURE_RATE, ... and LOAD_RPS; raise KnobError naming the variable at fault."""
    knobs = Knobs()
    for name in PARSERS:
        variable = variable_of(name)
        if variable in environment:
            try:
                knobs = turn(knobs, {name: environment[variable]})
            except KnobError as error:
                raise KnobError(f"{variable}: {error}") from None
    return knobs


def variable_of(name: str) -> str:
    """The environment variable of a knob."""
    return "LOAD_RPS" if name == "load_rps" else f"APP_{name.upper()}"


def _text(value: str) -> str:
    if not value or len(value) > 64 or not value.isprintable():
        raise ValueError
    return value


def _rate(value: str) -> float:
    number = float(value[:-1]) / 100 if value.endswith("%") else float(value)
    if not 0 <= number <= 1:  # false for nan as well
        raise ValueError
    return number


def _between(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        number = float(value)
        if math.isnan(number) or not low <= number <= high:
            raise ValueError
        return number
    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number
    return parse


FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _flag(value: str) -> bool:
    if value.lower() not in FLAGS:
        raise ValueError
    return FLAGS[value.lower()]


PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "version": (_text, "a short name such as v2"),
    "failure_rate": (_rate, "a share from 0 to 1, such as 0.2 or 20%"),
    "failure_status": (_whole(400, 599), "an HTTP status from 400 to 599"),
    "latency_ms": (_between(0, 600_000), "milliseconds, 0 to 600000"),
    "jitter_ms": (_between(0, 600_000), "milliseconds, 0 to 600000"),
    "answer_bytes": (_whole(0, MAX_ANSWER_BYTES), f"a number of bytes, 0 to {MAX_ANSWER_BYTES}"),
    "chunked": (_flag, "true or false"),
    "ready": (_flag, "true or false"),
    "healthy": (_flag, "true or false"),
    "load_rps": (_between(0, 10_000), "requests per second, 0 to 10000"),
}
