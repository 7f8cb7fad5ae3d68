"""Filters of HTTPRoutes and GRPCRoutes, as they arrive.

Owns the Gateway API's rules for them, and their translation: header edits and CORS into the configuration of the policy
plugins that carry them out. What Tulle does not do (ExtensionRef, ExternalAuth) is refused: the specification forbids
to leave a filter out.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

import msgspec
from tulle_plugin_api.config import ConfigError

from tulle_control_plane.core.objects import (
    BackendRef,
    Filter,
    Match,
    Mirror,
    PathEdit,
    PluginFilter,
    Redirect,
    Rewrite,
)
from tulle_control_plane.core.parse.matches import FIELD_VALUE, METHODS, TOKEN, check_path
from tulle_control_plane.core.parse.problems import Problems
from tulle_control_plane.core.parse.references import backend_object
from tulle_control_plane.core.parse.shapes import Items, Port, StrictShape, check_name, many, read

HTTP_FILTERS = (
    "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "CORS",
)  # fmt: skip
GRPC_FILTERS = HTTP_FILTERS[:3]
MOST = 16
_REPEATABLE = ("RequestMirror",)

_FRAMING = frozenset({
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_ORIGIN = re.compile(r"\*|https?://(\*|(\*\.)?([a-z0-9-]+\.)*[a-z0-9-]+)(:[0-9]{1,5})?")


class _Filter(StrictShape, frozen=True):
    type: str
    request_header_modifier: dict[str, Any] | None = None
    response_header_modifier: dict[str, Any] | None = None
    request_mirror: dict[str, Any] | None = None
    request_redirect: dict[str, Any] | None = None
    url_rewrite: dict[str, Any] | None = msgspec.field(name="urlRewrite", default=None)
    cors: dict[str, Any] | None = None
    extension_ref: dict[str, Any] | None = None
    external_auth: dict[str, Any] | None = None


class _Header(StrictShape, frozen=True):
    name: str
    value: str


class _Headers(StrictShape, frozen=True):
    set: Items = None
    add: Items = None
    remove: list[str] | None = None


class _PathEdit(StrictShape, frozen=True):
    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


class _Redirect(StrictShape, frozen=True):
    scheme: Literal["http", "https"] | None = None
    hostname: str | None = None
    path: dict[str, Any] | None = None
    port: Port | None = None
    status_code: Literal[301, 302, 303, 307, 308] | None = None


class _Rewrite(StrictShape, frozen=True):
    hostname: str | None = None
    path: dict[str, Any] | None = None


class _Fraction(StrictShape, frozen=True):
    numerator: Annotated[int, msgspec.Meta(ge=0)]
    denominator: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _Mirror(StrictShape, frozen=True):
    backend_ref: dict[str, Any]
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    fraction: dict[str, Any] | None = None


class _Cors(StrictShape, frozen=True):
    allow_origins: list[str] | None = None
    allow_methods: list[str] | None = None
    allow_headers: list[str] | None = None
    expose_headers: list[str] | None = None
    allow_credentials: bool | None = None
    max_age: Annotated[int, msgspec.Meta(ge=1)] | None = None


# type -> the field that belongs to it
_FIELDS = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "CORS": "cors",
    "ExtensionRef": "extensionRef",
    "ExternalAuth": "externalAuth",
}
_ATTRIBUTES = {name: re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name) for name in _FIELDS.values()}
_NO_FILTERS: tuple[_Filter, ...] = ()
_NO_HEADERS: tuple[_Header, ...] = ()


def read_filters(
    items: Items, path: str, namespace: str, matches: tuple[Match, ...], known: tuple[str, ...] = HTTP_FILTERS
) -> tuple[Filter, ...]:
    """The filters of a rule or backend. `matches`: the rule's, for edits of what they match. Raises ConfigError."""
    problems = Problems()
    problems.most(items, MOST, path)
    found: list[Filter] = []
    types: list[str] = []
    for index, item in enumerate(problems.take(_NO_FILTERS, many, _Filter, items, path)):
        at = f"{path}[{index}]"
        if item.type in types and item.type not in _REPEATABLE:
            problems.add(f"{at}.type: {item.type} is there a second time; only RequestMirror may be repeated")
        types.append(item.type)
        one = problems.take(None, _filter, item, at, namespace, matches, known)
        found += [one] if one is not None else []
    if "RequestRedirect" in types and "URLRewrite" in types:
        problems.add(f"{path}: RequestRedirect and URLRewrite exclude each other; a redirect is never sent on")
    problems.check()
    return tuple(found)


def _filter(item: _Filter, at: str, namespace: str, matches: tuple[Match, ...], known: tuple[str, ...]) -> Filter:
    if item.type not in known:
        raise ConfigError([f"{at}.type: expected one of {', '.join(known)}, got {item.type!r}"])
    field = _FIELDS[item.type]
    for other in _FIELDS.values():
        if other != field and getattr(item, _ATTRIBUTES[other]) is not None:
            raise ConfigError([f"{at}.{other}: belongs to another type than {item.type}, whose field is {field}"])
    data, path = getattr(item, _ATTRIBUTES[field]), f"{at}.{field}"
    if data is None:
        raise ConfigError([f"{path}: missing; a filter of type {item.type} needs it"])
    match item.type:
        case "RequestHeaderModifier":
            return PluginFilter("headers", _json({"request": _edits(data, path, request=True)}))
        case "ResponseHeaderModifier":
            return PluginFilter("headers", _json({"response": _edits(data, path, request=False)}))
        case "RequestMirror":
            return _mirror(data, path, namespace)
        case "RequestRedirect":
            given = read(_Redirect, data, path)
            return Redirect(
                given.scheme or "", _hostname(given.hostname, path), _path_edit(given.path, f"{path}.path", matches),
                given.port or 0, given.status_code or 302,
            )  # fmt: skip
        case "URLRewrite":
            asked = read(_Rewrite, data, path)
            return Rewrite(_hostname(asked.hostname, path), _path_edit(asked.path, f"{path}.path", matches))
        case _:
            return PluginFilter("cors", _json(_cors(read(_Cors, data, path), path)))


def _edits(data: dict[str, Any], path: str, *, request: bool) -> dict[str, Any]:
    given, problems = read(_Headers, data, path), Problems()
    edits: dict[str, Any] = {}
    for verb, items in (("set", given.set), ("add", given.add)):
        problems.most(items, MOST, f"{path}.{verb}")
        fields: dict[str, str] = {}
        seen: set[str] = set()
        headers = problems.take(_NO_HEADERS, many, _Header, items, f"{path}.{verb}")
        for index, header in enumerate(headers):
            at = f"{path}.{verb}[{index}]"
            _check_field(header.name, f"{at}.name", problems, request=request)
            if not FIELD_VALUE.fullmatch(header.value) or len(header.value) > 4096:
                problems.add(f"{at}.value: expected visible ASCII, single spaces inside, got {header.value[:80]!r}")
            if header.name.lower() not in seen:  # of equivalent names the first counts
                fields[header.name] = header.value
            seen.add(header.name.lower())
        if fields:
            edits[verb] = fields
    problems.most(given.remove, MOST, f"{path}.remove")
    for index, name in enumerate(given.remove or ()):
        _check_field(name, f"{path}.remove[{index}]", problems, request=request)
    if given.remove:
        edits["remove"] = given.remove
    if not edits:
        problems.add(f"{path}: nothing to edit; at least one of set, add and remove")
    problems.check()
    return edits


def _check_field(name: str, path: str, problems: Problems, *, request: bool) -> None:
    if not TOKEN.fullmatch(name):
        problems.add(f"{path}: expected letters, digits and !#$%&'*+-.^_`|~ only, got {name[:80]!r}")
    elif name.lower() in _FRAMING:
        problems.add(f"{path}: {name} belongs to the connection, and is each proxy's own")
    elif name.lower() == "host":
        problems.add(f"{path}: {name} is edited by a URLRewrite filter's hostname" if request else
                     f"{path}: {name} is no field of an answer")  # fmt: skip


def _mirror(data: dict[str, Any], path: str, namespace: str) -> Mirror:
    given = read(_Mirror, data, path)
    if given.percent is not None and given.fraction is not None:
        raise ConfigError([f"{path}: percent or fraction, not both"])
    percent = 100.0 if given.percent is None else float(given.percent)
    if given.fraction is not None:
        fraction = read(_Fraction, given.fraction, f"{path}.fraction")
        denominator = fraction.denominator or 100
        if fraction.numerator > denominator:
            most = f"at most the denominator, which is {denominator}"
            raise ConfigError([f"{path}.fraction.numerator: {most}; got {fraction.numerator}"])
        percent = 100 * fraction.numerator / denominator
    backend: BackendRef = backend_object(given.backend_ref, f"{path}.backendRef", namespace)
    return Mirror(backend, percent)


def _path_edit(data: dict[str, Any] | None, path: str, matches: tuple[Match, ...]) -> PathEdit | None:
    if data is None:
        return None
    given = read(_PathEdit, data, path)
    full = given.type == "ReplaceFullPath"
    field, other = ("replaceFullPath", "replacePrefixMatch") if full else ("replacePrefixMatch", "replaceFullPath")
    value, wrong = (
        (given.replace_full_path, given.replace_prefix_match)
        if full
        else (given.replace_prefix_match, given.replace_full_path)
    )
    if wrong is not None:
        raise ConfigError([f"{path}.{other}: belongs to another type than {given.type}"])
    if value is None:
        raise ConfigError([f"{path}.{field}: missing; type {given.type} needs it"])
    if value:
        check_path(value, f"{path}.{field}")
    if full:
        return PathEdit(full=value or "/")
    prefixes = [match.path for match in matches]
    if len(prefixes) > 1 or any(prefix is not None and prefix.kind != "PathPrefix" for prefix in prefixes):
        raise ConfigError([f"{path}.type: ReplacePrefixMatch needs exactly one match in the rule, by PathPrefix"])
    prefix = prefixes[0].value if prefixes and prefixes[0] is not None else "/"
    return PathEdit(replacement=value, prefix=prefix)


def _hostname(value: str | None, path: str) -> str:
    return check_name(value, f"{path}.hostname") if value is not None else ""


def _cors(given: _Cors, path: str) -> dict[str, Any]:
    problems = Problems()
    origins = [origin.lower() for origin in given.allow_origins or ()]
    for name, items, most in (
        ("allowOrigins", given.allow_origins, 64), ("allowMethods", given.allow_methods, 9),
        ("allowHeaders", given.allow_headers, 64), ("exposeHeaders", given.expose_headers, 64),
    ):  # fmt: skip
        problems.most(items, most, f"{path}.{name}")
        if items and "*" in items and len(items) > 1 and name != "exposeHeaders":
            problems.add(f'{path}.{name}: "*" stands alone; it is all there are')
    for index, origin in enumerate(origins):
        if not _ORIGIN.fullmatch(origin):
            right = 'such as "https://shop.example", "https://*.example" or "*"'
            problems.add(f"{path}.allowOrigins[{index}]: expected an origin {right}, got {origin[:80]!r}")
    for index, method in enumerate(given.allow_methods or ()):
        if method != "*" and method not in METHODS:
            problems.add(f"{path}.allowMethods[{index}]: expected one of {', '.join(METHODS)}, *, got {method[:80]!r}")
    for name, items in (("allowHeaders", given.allow_headers), ("exposeHeaders", given.expose_headers)):
        for index, header in enumerate(items or ()):
            if not TOKEN.fullmatch(header):
                problems.add(f"{path}.{name}[{index}]: expected the name of a header field, got {header[:80]!r}")
    problems.check()
    config: dict[str, Any] = {"allow_origins": origins, "max_age": _seconds(given.max_age or 5)}
    methods = given.allow_methods or []
    # "the CORS-safelisted methods are always allowed"
    config["allow_methods"] = ["*"] if "*" in methods else list(dict.fromkeys(("GET", "HEAD", "POST", *methods)))
    if given.allow_headers:
        config["allow_headers"] = given.allow_headers
    if given.expose_headers:
        config["expose_headers"] = given.expose_headers
    if given.allow_credentials:
        config["allow_credentials"] = True
    return config


def _seconds(count: int) -> str:
    """As a GEP-2257 duration, whose numbers have at most five digits."""
    count = min(count, 99_999 * 3600)
    hours, rest = divmod(count, 3600)
    return f"{hours}h{rest}s" if hours else f"{rest}s"


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
