"""The table of a destination's matches, as values: what a request must be like to take a route.

Owns the vocabulary, and its reading from discovery.proto. Refuses to know how a request finds its row quickly
(matching.py) and what is done with a request that has found it.

The rows are in order of precedence when they arrive: the control plane has worked that out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_plus

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Headers

if TYPE_CHECKING:
    from tulle_plugin_api.patterns import Pattern

NONE = 1 << 60
"""No row: higher than every number."""

MOST_PARAMETERS = 1000
"""Of a query that are looked at; what comes behind them is as good as not there."""


class Kind(IntEnum):
    """discovery.proto's MatchType, with the same numbers."""

    EXACT = 1
    PREFIX = 2
    REGEX = 3


class Request(Protocol):
    """What matching looks at. An Exchange is one."""

    method: str
    path: str  # with its query
    headers: Headers


@dataclass(frozen=True, slots=True)
class Value:
    """What a path, or a header field or query parameter of that name, must be."""

    kind: Kind
    value: str
    name: str = ""

    def fits(self, given: str | None) -> bool:
        """Whether `given` is such; None (not there) never is. The specification, as it reads."""
        if given is None:
            return False
        if self.kind is Kind.EXACT:
            return given == self.value
        if self.kind is Kind.REGEX:
            return pattern_of(self.value).matches(given)
        return self.value == "/" or given == self.value or given.startswith(self.value + "/")


@dataclass
class Source:
    """Who this proxy works for. Its labels may change while it runs."""

    namespace: str = ""
    service_account: str = ""  # "namespace/name"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class From:
    """Which clients a row is for. Empty: any."""

    labels: tuple[tuple[str, str], ...] = ()
    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()

    def fits(self, source: Source) -> bool:
        """Whether a client is one of them."""
        return (
            (not self.namespaces or source.namespace in self.namespaces)
            and (not self.service_accounts or source.service_account in self.service_accounts)
            and all(source.labels.get(name) == value for name, value in self.labels)
        )


@dataclass(frozen=True, slots=True)
class Row:
    """All of its conditions must hold. `route`: index of the route that it leads to."""

    route: int
    path: Value | None = None
    method: str = ""
    headers: tuple[Value, ...] = ()
    query: tuple[Value, ...] = ()
    source: From | None = None


def rows_of(matches: Sequence[pb.RouteMatch]) -> tuple[Row, ...]:
    """The rows, in order. Raises ValueError for what this proxy does not know (PatternError for a bad pattern)."""
    return tuple(_row(match, number) for number, match in enumerate(matches))


def _row(match: pb.RouteMatch, number: int) -> Row:
    path = _value(match.path, number) if match.HasField("path") else None
    if path is not None and path.kind is Kind.PREFIX and path.value == "/":
        path = None  # every path begins so, and what has none ("*", CONNECT) is meant, too
    source = None
    if match.HasField("source"):
        given = match.source
        source = From(
            tuple(sorted(given.labels.items())), tuple(given.namespaces), tuple(given.service_accounts)
        )  # fmt: skip
    if not match.headers and not match.query:  # as most are, of which there may be thousands
        return Row(match.route, path, match.method, source=source)
    headers = tuple(_value(value, number) for value in match.headers)
    query = tuple(_value(value, number) for value in match.query)
    if any(value.kind is Kind.PREFIX for value in (*headers, *query)):
        raise ValueError(f"match {number}: only a path is matched by a prefix")
    return Row(match.route, path, match.method, headers, query, source)


def _value(match: pb.PathMatch | pb.ValueMatch, number: int) -> Value:
    try:
        kind = Kind(match.type)
    except ValueError:
        raise ValueError(f"match {number}: this proxy does not know match type {match.type}") from None
    if kind is Kind.REGEX:
        pattern_of(match.value)
    return Value(kind, match.value, match.name if isinstance(match, pb.ValueMatch) else "")


# --- facts of a request -----------------------------------------------------------------------------------------


def field_of(request: Request, name: str) -> str | None:
    """The value of a header field; of a repeated one the values as a list (RFC 9110 section 5.3)."""
    headers = request.headers
    if name not in headers:
        return None
    values = headers.get_all(name)
    return values[0] if len(values) == 1 else ", ".join(values)


def path_of(request: Request) -> str:
    """The path, without its query."""
    return request.path.partition("?")[0]


def parameters_of(request: Request) -> dict[str, str]:
    """Query parameters by name, of a repeated one the first, as the specification recommends. Percent-decoded, "+" is
    a space (the WHATWG's URL standard, application/x-www-form-urlencoded)."""
    found: dict[str, str] = {}
    for pair in request.path.partition("?")[2].split("&", MOST_PARAMETERS)[:MOST_PARAMETERS]:
        name, _, value = pair.partition("=")
        if name or value:
            found.setdefault(_decoded(name), _decoded(value))
    return found


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def unconditional(rows: Sequence[Row]) -> bool:
    """Whether every request takes the first row."""
    return bool(rows) and rows[0] == Row(rows[0].route)


def pattern_of(text: str) -> Pattern:
    """A regular expression, compiled. Raises ValueError. Proxies whose routes have none do not load their engine."""
    from tulle_plugin_api.patterns import pattern

    return pattern(text)
