"""Matching: which row of a table fits a request, found by looking up and not by asking one after the other.

Owns the compiled form. Pure, and immutable once made: `find` gives the same for the same request (and labels of the
pod). What it gives is what `first` gives, which reads the specification as it is written; a property test holds
the two together.

    path   exact: a dict; prefixes: a dict, asked with the path's first segment, first two segments, ...; patterns:
           one after the other (each in linear time); rows for any path
    then   in each of these places a tree: where many rows are left, those that ask for an exact value of the same
           header field, parameter or method are in a dict by that value

Rows are numbered by precedence, so that the best row of two places is the one with the lower number, and a place whose
lowest number is higher than what is already found is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tulle_data_plane.logic.table import (
    NONE,
    From,
    Kind,
    Request,
    Row,
    Source,
    Value,
    field_of,
    parameters_of,
    path_of,
    pattern_of,
    unconditional,
)

Parameters: TypeAlias = Mapping[str, str]
_Holds: TypeAlias = Callable[[Request, Parameters], bool]
_Fact: TypeAlias = tuple[str, str]
"""What can be asked of a request: ("method", ""), ("header", name), ("query", name)."""

_NO_PARAMETERS: Parameters = {}
_FEW = 4
"""Rows that are asked one after the other rather than looked up."""


def first(rows: Sequence[Row], request: Request, source: Source) -> int:
    """The number of the first row that fits, or NONE: the specification, as it reads."""
    for number, row in enumerate(rows):
        parameters = parameters_of(request)
        if (
            (row.path is None or row.path.fits(path_of(request)))
            and row.method in ("", request.method)
            and all(value.fits(field_of(request, value.name)) for value in row.headers)
            and all(value.fits(parameters.get(value.name)) for value in row.query)
            and (row.source is None or row.source.fits(source))
        ):
            return number
    return NONE


class Matcher:
    """A compiled table."""

    __slots__ = ("_any", "_exact", "_needs_query", "_patterns", "_prefixes", "_segments", "rows", "unconditional")

    def __init__(self, rows: Sequence[Row], source: Source) -> None:
        """`source`: who asks; looked at when a request is matched, so that changes of its labels take effect."""
        self.rows = tuple(rows)
        exact: dict[str, list[_Numbered]] = {}
        prefixes: dict[str, list[_Numbered]] = {}
        patterns: dict[str, list[_Numbered]] = {}
        anywhere: list[_Numbered] = []
        for number, row in enumerate(self.rows):
            numbered = _Numbered(number, row, source)
            if row.path is None:
                anywhere.append(numbered)
            else:
                places = {Kind.EXACT: exact, Kind.PREFIX: prefixes, Kind.REGEX: patterns}[row.path.kind]
                places.setdefault(row.path.value, []).append(numbered)
        self._exact = {path: _place(numbered) for path, numbered in exact.items()}
        self._prefixes = {path: _place(numbered) for path, numbered in prefixes.items()}
        self._patterns = tuple((pattern_of(text), _place(numbered)) for text, numbered in patterns.items())
        self._any = _place(anywhere) if anywhere else None
        self._segments = max((path.count("/") for path in prefixes), default=0)
        self._needs_query = any(row.query for row in self.rows)
        self.unconditional = unconditional(self.rows)
        """Every request takes the first row."""

    def find(self, request: Request) -> int:
        """The number of the first row that fits, or NONE."""
        path, _, query = request.path.partition("?")
        parameters = parameters_of(request) if query and self._needs_query else _NO_PARAMETERS
        best = NONE
        place = self._exact.get(path)
        if place is not None:
            best = place.find(request, parameters, best)
        if self._segments:
            prefixes, at = self._prefixes, 0
            for _ in range(self._segments):
                at = path.find("/", at + 1)
                place = prefixes.get(path if at < 0 else path[:at])
                if place is not None and place.lowest < best:
                    best = place.find(request, parameters, best)
                if at < 0:
                    break
        for compiled, place in self._patterns:
            if place.lowest < best and compiled.matches(path):
                best = place.find(request, parameters, best)
        place = self._any
        if place is not None and place.lowest < best:
            best = place.find(request, parameters, best)
        return best


class _Numbered(NamedTuple):
    number: int
    row: Row
    source: Source

    def exact(self) -> dict[_Fact, str]:
        """The facts of which it asks for an exact value."""
        row = self.row
        found: dict[_Fact, str] = {("method", ""): row.method} if row.method else {}
        for word, values in (("header", row.headers), ("query", row.query)):
            found.update({(word, value.name): value.value for value in values if value.kind is Kind.EXACT})
        return found

    def conditions(self, but: frozenset[_Fact]) -> tuple[_Holds, ...]:
        """What must hold, besides the path and what has been looked up."""
        row = self.row
        found: list[_Holds] = []
        if row.method and ("method", "") not in but:
            found.append(_method_is(row.method))
        found += [_header(v) for v in row.headers if v.kind is not Kind.EXACT or ("header", v.name) not in but]
        found += [_parameter(v) for v in row.query if v.kind is not Kind.EXACT or ("query", v.name) not in but]
        if row.source is not None:
            found.append(_asked_by(row.source, self.source))
        return tuple(found)


class _List:
    """Few rows, asked one after the other."""

    __slots__ = ("_rows", "lowest")

    def __init__(self, numbered: Sequence[_Numbered], known: frozenset[_Fact]) -> None:
        rows = []
        for each in numbered:
            conditions = each.conditions(known)
            rows.append((each.number, conditions))
            if not conditions:
                break  # nobody gets past this one
        self._rows = tuple(rows)
        self.lowest = rows[0][0]

    def find(self, request: Request, parameters: Parameters, best: int) -> int:
        """The lower of `best` and the first row that fits."""
        for number, conditions in self._rows:
            if number >= best:
                return best
            for holds in conditions:
                if not holds(request, parameters):
                    break
            else:
                return number
        return best


class _Tree:
    """Many rows: those that ask for an exact value of one fact are found by it; the rest is looked at, too."""

    __slots__ = ("_ask", "_by_value", "_rest", "lowest")

    def __init__(self, fact: _Fact, numbered: Sequence[_Numbered], known: frozenset[_Fact]) -> None:
        self._ask = _asker(fact)
        self.lowest = numbered[0].number
        by_value: dict[str, list[_Numbered]] = {}
        rest: list[_Numbered] = []
        for each in numbered:
            value = each.exact().get(fact)
            (rest if value is None else by_value.setdefault(value, [])).append(each)
        # rows of the rest have no exact value of this fact, so that it is never chosen again there
        self._by_value = {value: _place(group, known | {fact}) for value, group in by_value.items()}
        self._rest = _place(rest, known) if rest else None

    def find(self, request: Request, parameters: Parameters, best: int) -> int:
        """As _List.find."""
        value = self._ask(request, parameters)
        if value is not None:
            place = self._by_value.get(value)
            if place is not None and place.lowest < best:
                best = place.find(request, parameters, best)
        rest = self._rest
        return rest.find(request, parameters, best) if rest is not None and rest.lowest < best else best


_Place: TypeAlias = _List | _Tree


def _place(numbered: Sequence[_Numbered], known: frozenset[_Fact] = frozenset()) -> _Place:
    if len(numbered) > _FEW:
        asked = Counter(fact for each in numbered for fact in each.exact() if fact not in known)
        if asked:
            fact, rows = min(asked.items(), key=lambda item: (-item[1], item[0]))
            if rows > _FEW:
                return _Tree(fact, numbered, known)
    return _List(numbered, known)


# --- conditions, as plain functions ---------------------------------------------------------------------------------


def _asker(fact: _Fact) -> Callable[[Request, Parameters], str | None]:
    word, name = fact
    if word == "method":
        return lambda request, parameters: request.method
    if word == "header":
        return lambda request, parameters: field_of(request, name)
    return lambda request, parameters: parameters.get(name)


def _asked_by(clients: From, source: Source) -> _Holds:
    return lambda request, parameters: clients.fits(source)


def _method_is(method: str) -> _Holds:
    return lambda request, parameters: request.method == method


def _header(value: Value) -> _Holds:
    name, wanted = value.name, value.value
    if value.kind is Kind.EXACT:
        return lambda request, parameters: field_of(request, name) == wanted
    compiled = pattern_of(wanted)

    def holds(request: Request, parameters: Parameters) -> bool:
        given = field_of(request, name)
        return given is not None and compiled.matches(given)

    return holds


def _parameter(value: Value) -> _Holds:
    name, wanted = value.name, value.value
    if value.kind is Kind.EXACT:
        return lambda request, parameters: parameters.get(name) == wanted
    compiled = pattern_of(wanted)

    def holds(request: Request, parameters: Parameters) -> bool:
        given = parameters.get(name)
        return given is not None and compiled.matches(given)

    return holds
