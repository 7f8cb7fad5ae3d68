"""A small language for the shape of manifests: tables of fields, checked with the path of every problem.

Owns the checkers. Refuses to know any kind. Three sorts of fields beside ordinary ones:

    Inert        known and accepted, without effect in the lab; the reason is shown in the README
    Unsupported  known to Kubernetes, refused here with the reason
    (absent)     unknown to Kubernetes: refused with a did-you-mean

    >>> problems = Problems()
    >>> Struct({"image": text()})({"imagee": "x"}, "spec", problems)
    >>> problems
    ["spec.imagee: unknown field; did you mean 'image'?"]
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


class Problems(list[str]):
    """Sentences that start with the field's path."""

    def add(self, path: str, problem: str) -> None:
        """Note a problem at `path`; an empty path is the whole object."""
        self.append(f"{path}: {problem}" if path else problem)


Check: TypeAlias = Callable[[Any, str, Problems], None]


@dataclass(frozen=True)
class Unsupported:
    """A field that Kubernetes has and the lab refuses."""

    why: str

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Refuse, unless the value asks for nothing (`privileged: false`)."""
        if value not in (False, "", [], {}):
            problems.add(path, f"the lab does not do this: {self.why}")


@dataclass(frozen=True)
class Inert:
    """A field that is accepted and has no effect here."""

    why: str

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        return


@dataclass(frozen=True)
class Struct:
    """A mapping with known fields."""

    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    """Exactly one of these must be there."""

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        if not isinstance(value, dict):
            problems.add(path, f"expected a mapping, got {_show(value)}")
            return
        for name, inner in value.items():
            here = join(path, str(name))
            check = self.fields.get(name) if isinstance(name, str) else None
            if check is None:
                problems.add(here, f"unknown field{did_you_mean(str(name), self.fields)}")
            elif inner is not None:  # Kubernetes reads null as absent
                check(inner, here, problems)
        for name in self.required:
            if value.get(name) is None:
                problems.add(join(path, name), "required, and missing")
        if self.one_of:
            given = [name for name in self.one_of if value.get(name) is not None]
            if len(given) != 1:
                problems.add(
                    path, f"needs exactly one of {', '.join(self.one_of)}; it has {', '.join(given) or 'none'}"
                )


@dataclass(frozen=True)
class ListOf:
    """A list; `unique` names a field whose values may not repeat."""

    item: Check
    unique: str = ""
    at_least: int = 0

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        if not isinstance(value, list):
            problems.add(path, f"expected a list, got {_show(value)}")
            return
        if len(value) < self.at_least:
            problems.add(path, f"needs at least {self.at_least}")
        for index, inner in enumerate(value):
            self.item(inner, f"{path}[{index}]", problems)
        seen: set[Any] = set()
        for index, inner in enumerate(value):
            name = inner.get(self.unique) if self.unique and isinstance(inner, dict) else None
            if name is not None and name in seen:
                problems.add(f"{path}[{index}].{self.unique}", f"{name!r} is there twice")
            if isinstance(name, str | int):
                seen.add(name)


@dataclass(frozen=True)
class MapOf:
    """A mapping from any text to one kind of value."""

    value: Check
    key: Check | None = None

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        if not isinstance(value, dict):
            problems.add(path, f"expected a mapping, got {_show(value)}")
            return
        for name, inner in value.items():
            here = f"{path}[{name!r}]"
            if not isinstance(name, str):
                problems.add(here, "expected text as key; put it in quotes")
            elif self.key:
                self.key(name, here, problems)
            self.value(inner, here, problems)


@dataclass(frozen=True)
class Text:
    """A string."""

    options: tuple[str, ...] = ()
    pattern: str = ""
    means: str = ""
    """What the pattern stands for, in words."""
    longest: int = 0

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, bool | int | float) else ""
            problems.add(path, f"expected text, got {_show(value)}{hint}")
        elif self.options and value not in self.options:
            problems.add(
                path, f"{value!r} is not one of {', '.join(self.options)}{did_you_mean(value, self.options, '')}"
            )
        elif self.pattern and not re.fullmatch(self.pattern, value):
            problems.add(path, f"{value!r} is not {self.means}")
        elif self.longest and len(value) > self.longest:
            problems.add(path, f"{value!r} is longer than {self.longest} characters")


@dataclass(frozen=True)
class Integer:
    """A whole number within bounds."""

    least: int | None = None
    most: int | None = None

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        if not isinstance(value, int) or isinstance(value, bool):
            problems.add(path, f"expected a whole number, got {_show(value)}")
        elif (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            least = "" if self.least is None else f"at least {self.least}"
            most = "" if self.most is None else f"at most {self.most}"
            problems.add(path, f"{value} is out of range: {' and '.join(part for part in (least, most) if part)}")


@dataclass(frozen=True)
class Either:
    """One of two checks holds; `expected` says both in words."""

    checks: tuple[Check, ...]
    expected: str

    def __call__(self, value: Any, path: str, problems: Problems) -> None:
        """Note what is wrong with `value`."""
        for check in self.checks:
            attempt = Problems()
            check(value, path, attempt)
            if not attempt:
                return
        problems.add(path, f"expected {self.expected}, got {_show(value)}")


def boolean(value: Any, path: str, problems: Problems) -> None:
    """true or false."""
    if not isinstance(value, bool):
        problems.add(path, f"expected true or false, got {_show(value)}")


def anything(value: Any, path: str, problems: Problems) -> None:
    """Any value: its owner checks it."""


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_WORDS = "lower-case letters, digits and '-', with a letter or digit at both ends"
DNS_LABEL = Text(pattern=_LABEL, means=f"a DNS label ({_LABEL_WORDS})", longest=63)
DNS_NAME = Text(
    pattern=rf"{_LABEL}(\.{_LABEL})*", means=f"a DNS name ({_LABEL_WORDS}; parts joined by dots)", longest=253
)
PORT = Integer(1, 65535)
PORT_NAME = Text(
    pattern=r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*", means="a port name (lower-case letters, digits, '-')", longest=15
)
PORT_OR_NAME = Either((PORT, PORT_NAME), "a port number (1 to 65535) or a port's name")
PATH = Text(pattern=r"/.*", means="an absolute path (it starts with '/')")
DURATION = Text(pattern=r"([0-9]{1,5}(h|m|s|ms)){1,4}", means="a duration (such as 500ms, 10s, 1m30s; GEP-2257)")
LABEL_VALUE = Text(pattern=r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", means="a label value", longest=63)
QUALIFIED = Text(
    pattern=r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
    means="a qualified name (such as app or tulle.dev/inject)",
)
NUMBER = Either((Integer(),), "a number")
STRINGS = ListOf(Text())


def text(*options: str) -> Text:
    """Any text, or one of `options`."""
    return Text(options)


def join(path: str, name: str) -> str:
    """`path.name`."""
    return f"{path}.{name}" if path else name


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """ "; did you mean 'x'?", or else the list of what is known (or `otherwise`)."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, 1)
    if not close and name.lower() in (lowered := {item.lower(): item for item in known}):
        close = [lowered[name.lower()]]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(known)}" if otherwise is None else otherwise


def _show(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return kinds.get(type(value), repr(value))


@dataclass(frozen=True)
class Shape:
    """A kind's table, and what its fields must be to each other."""

    struct: Struct
    rules: tuple[Callable[[dict[str, Any], Problems], None], ...] = field(default=())
