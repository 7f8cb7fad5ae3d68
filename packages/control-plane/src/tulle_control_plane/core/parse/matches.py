"""Matches of HTTPRoutes and GRPCRoutes, as they arrive: what is a path, a header match, a method.

Owns the rules of the Gateway API's schema for them (HTTPPathMatch's and HTTPHeaderMatch's validations), so that the
lab, which has no API server, refuses what a cluster would.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from tulle_plugin_api.config import ConfigError
from tulle_plugin_api.patterns import PatternError, pattern

from tulle_control_plane.core.objects import Match, ValueMatch
from tulle_control_plane.core.parse.problems import Problems
from tulle_control_plane.core.parse.shapes import Items, StrictShape, many, read

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")
FIELD_VALUE = re.compile(r"[!-~]+([\t ]?[!-~]+)*")
PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
_GRPC_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
LONGEST_PATH = 1024
MOST_NAMED = 16

_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F", "#")
_NOT_AT_END = ("/..", "/.")


class _Path(StrictShape, frozen=True):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] | None = None
    value: str | None = None


class _Named(StrictShape, frozen=True):
    name: str
    value: str
    type: Literal["Exact", "RegularExpression"] | None = None


_NOTHING: tuple[_Named, ...] = ()


class _HttpMatch(StrictShape, frozen=True):
    path: dict[str, Any] | None = None
    headers: Items = None
    query_params: Items = None
    method: str | None = None


class _GrpcMethod(StrictShape, frozen=True):
    type: Literal["Exact", "RegularExpression"] | None = None
    service: str | None = None
    method: str | None = None


class _GrpcMatch(StrictShape, frozen=True):
    method: dict[str, Any] | None = None
    headers: Items = None


def http_match(data: object, path: str) -> Match:
    """A match of an HTTPRoute. Raises ConfigError with every problem found."""
    given, problems = read(_HttpMatch, data, path), Problems()
    matched = problems.take(None, _path, given.path, f"{path}.path")
    headers = problems.take((), named, given.headers, f"{path}.headers", any_case=True)
    query = problems.take((), named, given.query_params, f"{path}.queryParams", any_case=False)
    if given.method is not None and given.method not in METHODS:
        problems.add(f"{path}.method: expected one of {', '.join(METHODS)}, got {given.method!r}")
    problems.check()
    return Match(matched, given.method or "", headers, query)


def grpc_match(data: object, path: str) -> Match:
    """A match of a GRPCRoute: gRPC's services and methods are the two segments of a path. Raises ConfigError."""
    given, problems = read(_GrpcMatch, data, path), Problems()
    headers = problems.take((), named, given.headers, f"{path}.headers", any_case=True)
    found = problems.take((None, (0, 0)), _grpc_method, given.method, f"{path}.method")
    problems.check()
    return Match(found[0], "", headers, (), found[1])


def regular_expression(text: str, path: str) -> str:
    """`text`, if it is a pattern. Raises ConfigError."""
    try:
        pattern(text)
    except PatternError as error:
        raise ConfigError([f"{path}: no regular expression that Tulle knows, {error}"]) from None
    return text


def named(items: Items, path: str, *, any_case: bool) -> tuple[ValueMatch, ...]:
    """Header or query parameter matches; of those with equivalent names the first. Raises ConfigError."""
    problems = Problems()
    problems.most(items, MOST_NAMED, path)
    found: dict[str, ValueMatch] = {}
    for index, item in enumerate(problems.take(_NOTHING, many, _Named, items, path)):
        at = f"{path}[{index}]"
        if not TOKEN.fullmatch(item.name):
            problems.add(f"{at}.name: expected letters, digits and !#$%&'*+-.^_`|~ only, got {item.name[:80]!r}")
        limit = 4096 if any_case else 1024
        if not 1 <= len(item.value) <= limit:
            problems.add(f"{at}.value: expected 1 to {limit} characters, got {len(item.value)}")
        elif any_case and not FIELD_VALUE.fullmatch(item.value):
            problems.add(f"{at}.value: expected visible ASCII, single spaces inside, got {item.value[:80]!r}")
        kind = item.type or "Exact"
        if kind == "RegularExpression":
            problems.take("", regular_expression, item.value, f"{at}.value")
        name = item.name.lower() if any_case else item.name
        found.setdefault(name, ValueMatch(kind, item.value, name))
    problems.check()
    return tuple(found.values())


def check_path(value: str, path: str) -> str:
    """`value`, if it may stand for a path in requests. Raises ConfigError."""
    if not value.startswith("/"):
        raise ConfigError([f'{path}: expected a path that begins with "/", got {value[:80]!r}'])
    if len(value) > LONGEST_PATH:
        raise ConfigError([f"{path}: expected at most {LONGEST_PATH} characters, got {len(value)}"])
    wrong = [part for part in _NOT_IN_PATHS if part in value] + [end for end in _NOT_AT_END if value.endswith(end)]
    if wrong:
        raise ConfigError([f"{path}: a path without {wrong[0]!r} is expected, got {value[:80]!r}"])
    if not PATH.fullmatch(value):
        raise ConfigError([f"{path}: expected a path's characters (others as %41), got {value[:80]!r}"])
    return value


def _path(data: dict[str, Any] | None, path: str) -> ValueMatch | None:
    if data is None:
        return None
    given = read(_Path, data, path)
    kind, value = given.type or "PathPrefix", "/" if given.value is None else given.value
    if kind == "RegularExpression":
        if len(value) > LONGEST_PATH:
            raise ConfigError([f"{path}.value: expected at most {LONGEST_PATH} characters, got {len(value)}"])
        return ValueMatch(kind, regular_expression(value, f"{path}.value"))
    check_path(value, f"{path}.value")
    if kind == "PathPrefix":
        value = value.removesuffix("/")  # "a trailing / is ignored"
        return ValueMatch(kind, value) if value else None
    return ValueMatch(kind, value)


def _grpc_method(data: dict[str, Any] | None, path: str) -> tuple[ValueMatch | None, tuple[int, int]]:
    if data is None:
        return None, (0, 0)
    given = read(_GrpcMethod, data, path)
    service, method = given.service or "", given.method or ""
    if not service and not method:
        raise ConfigError([f"{path}: one or both of service and method, got neither"])
    size = len(service), len(method)
    if given.type == "RegularExpression":
        for word, text in (("service", service), ("method", method)):
            regular_expression(text, f"{path}.{word}")
        whole = f"/({service or '[^/]+'})/({method or '[^/]+'})"
        return ValueMatch("RegularExpression", regular_expression(whole, path)), size
    for word, text in (("service", service), ("method", method)):
        if text and not _GRPC_NAME.fullmatch(text):
            raise ConfigError([f"{path}.{word}: expected a name such as foo.v1.Bar, got {text[:80]!r}"])
    if not method:
        return ValueMatch("PathPrefix", f"/{service}"), size
    if not service:
        return ValueMatch("RegularExpression", f"/[^/]+/{method}"), size
    return ValueMatch("Exact", f"/{service}/{method}"), size
