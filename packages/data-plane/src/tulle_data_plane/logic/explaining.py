"""Explaining: why a request takes the route that it takes, row by row.

Owns the words. Pure: what is told here is worked out from the table itself, condition by condition, not from the
compiled form that serves traffic; that the two agree is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tulle_data_plane.logic.table import From, Kind, Request, Row, Source, Value, field_of, parameters_of, path_of

_WORDS = {Kind.EXACT: "is", Kind.PREFIX: "begins with", Kind.REGEX: "matches"}


@dataclass(frozen=True, slots=True)
class Explained:
    """A row of the table, and what became of the request there."""

    number: int
    route: int  # index of the route that it leads to
    fits: bool
    chosen: bool  # the first one that fits: it decides
    wanted: str  # "path begins with /cart, header x-user is 7"; "everything"
    missed: tuple[str, ...]  # what did not hold: "header x-user is 8, not 7"


def explain(rows: Sequence[Row], request: Request, source: Source) -> list[Explained]:
    """What each row says to `request`, in matching order. None chosen: the answer is 404."""
    found: list[Explained] = []
    decided = False
    for number, row in enumerate(rows):
        missed = tuple(_missed(row, request, source))
        found.append(Explained(number, row.route, not missed, not missed and not decided, wanted(row), missed))
        decided = decided or not missed
    return found


def wanted(row: Row) -> str:
    """What a row asks for, in words."""
    parts = [] if row.path is None else [f"path {_WORDS[row.path.kind]} {row.path.value}"]
    parts += [f"method is {row.method}"] if row.method else []
    parts += [f"header {value.name} {_WORDS[value.kind]} {value.value}" for value in row.headers]
    parts += [f"query {value.name} {_WORDS[value.kind]} {value.value}" for value in row.query]
    if row.source is not None:
        parts += [text for text, _ in _asked(row.source)]
    return ", ".join(parts) or "everything"


def _missed(row: Row, request: Request, source: Source) -> Iterator[str]:
    path = path_of(request)
    if row.path is not None and not row.path.fits(path):
        yield f"path is {path}"
    if row.method not in ("", request.method):
        yield f"method is {request.method}"
    for value in row.headers:
        yield from _other("header", value, field_of(request, value.name))
    parameters = parameters_of(request)
    for value in row.query:
        yield from _other("query", value, parameters.get(value.name))
    if row.source is not None:
        for text, part in _asked(row.source):
            if not part.fits(source):
                yield f"the client is not such: {text}"


def _other(word: str, value: Value, given: str | None) -> Iterator[str]:
    if given is None:
        yield f"{word} {value.name} is missing"
    elif not value.fits(given):
        yield f"{word} {value.name} is {given}"


def _asked(source: From) -> Iterator[tuple[str, From]]:
    if source.namespaces:
        yield f"client in namespace {' or '.join(source.namespaces)}", From(namespaces=source.namespaces)
    if source.service_accounts:
        accounts = source.service_accounts
        yield f"client runs as {' or '.join(accounts)}", From(service_accounts=accounts)
    for name, value in source.labels:
        yield f"client has label {name}={value}", From(labels=((name, value),))
