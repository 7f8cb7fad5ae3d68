"""What becomes of a request, worked out from a destination's compiled configuration. Pure; nothing is sent.

Owns the question, and the answer as plain data and as lines. Which match fits is judged by the proxy's own code
(tulle_data_plane.logic.explaining), so that what is told here is what happens.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tulle_plugin_api import Headers

from tulle_cli import compiled, terminal
from tulle_cli.errors import CliError
from tulle_cli.figures import percent

Json: TypeAlias = dict[str, Any]
Config = Mapping[str, Any]

FEW = 30
"""Matches that are all shown; of more, the one that decides and those that fail by one condition alone."""
BACKENDS_HEAD = ("BACKEND", "WEIGHT", "SHARE", "ENDPOINTS")


@dataclass(frozen=True)
class Asker:
    """Who would send it, as its proxy is known to the control plane. `state`: of its configuration of this Service."""

    name: str
    namespace: str
    service_account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = ""


@dataclass(frozen=True)
class Request:
    """As matching looks at it. `path`: with its query."""

    method: str
    host: str
    port: int
    path: str
    headers: Headers = field(default_factory=Headers)


def request_of(method: str, url: str, headers: Sequence[str]) -> Request:
    """From the words of a command line. Raises CliError."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CliError(f"{url!r} is no URL", str(error), "http://app-b/cart is one") from None
    if parts.scheme != "http" or not host:
        why = "what TLS carries is not seen by a proxy, and no route holds for it" if parts.scheme == "https" else ""
        raise CliError(f"{url!r} cannot be explained", why or "expected http://HOST[:PORT]/PATH", "http://app-b/cart")
    fields = []
    for text in headers:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise CliError(f"{text!r} is no header field", "the colon is missing", "-H 'x-user: 7'")
        fields.append((name.strip(), value.strip()))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    authority = host if port is None else f"{host}:{port}"
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("host", authority))
    return Request(method.upper(), host, port or 80, path, Headers.of(fields))


def service_of(host: str, namespace: str, cluster_domain: str) -> tuple[str, str] | None:
    """Namespace and name of the Service that a host name means to a pod in `namespace`; None for other names."""
    for suffix in (f".svc.{cluster_domain}", ".svc"):
        if host.endswith(suffix):
            name, dot, where = host.removesuffix(suffix).partition(".")
            return (where, name) if dot and "." not in where else None
    name, dot, where = host.partition(".")
    return None if "." in where else (where if dot else namespace, name)


def judged(config: Config, request: Request, asker: Asker) -> list[Json]:
    """Each match in order: what it asks for, what did not hold, and which one decides."""
    if not config.get("matches"):
        name = (config.get("routes") or [{}])[0].get("name", "")
        return [{"number": 1, "wanted": "everything", "route": name, "index": 0, "fits": True, "chosen": True,
                 "missed": []}]  # fmt: skip
    try:
        explaining = importlib.import_module("tulle_data_plane.logic.explaining")
        table = importlib.import_module("tulle_data_plane.logic.table")
        discovery = importlib.import_module("tulle_api.v1.discovery_pb2")
        parse = importlib.import_module("google.protobuf.json_format").ParseDict
    except ImportError as error:
        raise CliError("matches are judged by the proxy's own code, which is not installed here", str(error),
                       "pip install 'tulle-cli[lab]'") from error
    message = parse(dict(config), discovery.Destination(), ignore_unknown_fields=True)
    source = table.Source(asker.namespace, asker.service_account, dict(asker.labels))
    return [
        {"number": one.number + 1, "wanted": one.wanted, "route": config["routes"][one.route].get("name", ""),
         "index": one.route, "fits": one.fits, "chosen": one.chosen, "missed": list(one.missed)}
        for one in explaining.explain(table.rows_of(message.matches), request, source)
    ]  # fmt: skip


def answer(config: Config, request: Request, asker: Asker, positions: Mapping[str, int]) -> Json:
    """All that would happen on the client's side. `positions`: where policies of a type sit, the outermost first."""
    matches = judged(config, request, asker)
    chosen = next((one for one in matches if one["chosen"]), None)
    routes = config.get("routes") or []
    route: Config = {}
    if chosen is not None:
        own = [{"backend": compiled.own_backend(config), "weight": 1}]
        route = routes[chosen["index"]] if routes else {"backends": own}
    return {
        "matches": matches,
        "route": chosen["route"] if chosen else None,
        "policies": policies(config, route, positions) if chosen else [],
        "filters": [compiled.filter_words(one) for one in route.get("filters") or []],
        "backends": list(_backends(config, route)) if chosen else [],
        "balancer": config.get("balancer") or "",
    }


def policies(config: Config, route: Config, positions: Mapping[str, int]) -> list[Json]:
    """Those that hold for a route, in the order in which a request meets them; `instead`: what a nearer replaced."""
    wide = {one["type"]: one for one in config.get("policies") or []}
    near = {one["type"]: one for one in route.get("policies") or []}
    off = set(route.get("without_policies") or [])
    found = []
    for kind in sorted({*wide, *near}, key=lambda kind: (positions.get(kind, 0), kind)):
        one = near.get(kind) or (None if kind in off else wide[kind])
        if one is not None:
            instead = wide[kind]["source"] if kind in near and kind in wide else ""
            found.append({"type": kind, "source": one.get("source", ""), "config": one.get("config", ""),
                          "instead": instead})  # fmt: skip
    return found


def _backends(config: Config, route: Config) -> Iterator[Json]:
    known = {one["name"]: one for one in config.get("backends") or []}
    for name, weight, share in compiled.weights(route):
        found = known.get(name, {})
        filters = next((one.get("filters") for one in route.get("backends") or [] if one["backend"] == name), None)
        yield {
            "backend": name,
            "weight": int(weight) if weight else None,
            "share": share,
            "resolved": found.get("resolved", False) if found else None,
            "endpoints": found.get("endpoints") or [],
            "filters": [compiled.filter_words(one) for one in filters or []],
        }


def lines(told: Json) -> Iterator[str]:
    """The answer for people, from the matches to the endpoints."""
    signs = terminal.glyphs()
    shown = list(_shown(told["matches"]))
    yield "matches, in order:"
    for one in shown:
        sign = signs.ok if one["chosen"] else " " if one["fits"] else signs.failed
        why = "this one decides" if one["chosen"] else "would fit, too" if one["fits"] else "; ".join(one["missed"])
        place = f" {signs.arrow} {one['route']}" if one["route"] else ""
        yield f"  {one['number']:>3} {sign} {one['wanted']}{place}: {why}"
    if len(shown) < len(told["matches"]):
        yield f"      and {len(told['matches']) - len(shown)} more that do not fit (-o json has them)"
    if told["route"] is None:
        yield "none fits: the answer is 404"
        return
    if told["policies"]:
        yield "policies, in the order in which they are met:"
    for one in told["policies"]:
        instead = f", instead of {one['instead']}" if one["instead"] else ""
        yield f"  {one['type']} {one['config'] or '{}'} ({one['source']}{instead})"
    if told["filters"]:
        yield f"filters: {', '.join(told['filters'])}"
    yield f"balancer: {told['balancer'] or 'the default'}"
    rows = [(one["backend"], "" if one["weight"] is None else str(one["weight"]),
             "" if one["share"] is None else percent(one["share"]), _where(one)) for one in told["backends"]]
    yield terminal.columns(BACKENDS_HEAD, rows, {"WEIGHT", "SHARE"})


def _shown(matches: Sequence[Json]) -> Iterator[Json]:
    for one in matches:
        if len(matches) <= FEW or one["chosen"] or len(one["missed"]) == 1:
            yield one


def _where(backend: Json) -> str:
    if backend["resolved"] is None:
        return ""
    if not backend["resolved"]:
        return "no such Service or port: 500"
    found = [one.get("pod") or f"{one.get('address')}:{one.get('port')}" for one in backend["endpoints"]]
    filters = f" (filters: {', '.join(backend['filters'])})" if backend["filters"] else ""
    return (", ".join(found) or "none is ready: 503") + filters
