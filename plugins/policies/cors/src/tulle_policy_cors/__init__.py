"""CORS: lets pages from other origins call this service, as the Fetch standard has it.

Owns the answer to preflights, which reach neither authorization (they carry no credentials) nor the application, and
the fields of other answers. Refuses to block: who is not allowed is told nothing, and it is the browser that stops.
https://fetch.spec.whatwg.org/#http-cors-protocol, and the Gateway API's HTTPCORSFilter (GEP-1767) for the names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tulle_plugin_api import (
    Config,
    Duration,
    Exchange,
    Handler,
    Headers,
    Policy,
    Position,
    Response,
    Runtime,
    duration,
    hookimpl,
)

# RFC 6454 section 7: scheme://host[:port], nothing behind it; "*" may stand for the host's first labels
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\*|(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

OURS = (
    "access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers",
)  # of an answer that is no preflight's: what the application says of these is replaced

PREFLIGHT = "cors-preflight"
VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class CorsConfig(Config):
    """Who may call, and what browsers may be told."""

    allow_origins: tuple[str, ...]
    """`https://shop.example`, `https://*.example` (any subdomain), or `"*"` for all."""
    allow_methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    """Or `["*"]`."""
    allow_headers: tuple[str, ...] = ()
    """Of requests, beyond the ones that are always allowed. Or `["*"]`."""
    expose_headers: tuple[str, ...] = ()
    """Of answers, that scripts may read."""
    allow_credentials: bool = False
    """Cookies and the like."""
    max_age: Duration = duration("5s")
    """How long browsers may remember a preflight's answer; whole seconds."""


class Cors(Policy[CorsConfig]):
    """Cross-origin resource sharing."""

    config = CorsConfig
    position = Position.PREFLIGHT
    direction = "inbound"
    uses_trio = False

    def check(self, config: CorsConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if not config.allow_origins:
            problems.append('allow_origins: empty, so nobody may call; such as ["https://shop.example"]')
        for origin in config.allow_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                right = "scheme://host[:port] in lower case, such as https://shop.example or https://*.example"
                problems.append(f"allow_origins: expected {right}, got {origin!r}")
        for name in ("allow_methods", "allow_headers", "expose_headers"):
            wrong = [token for token in getattr(config, name) if not _TOKEN.fullmatch(token)]
            problems += [f"{name}: expected a name, got {token!r}" for token in wrong]
        if config.allow_credentials and "*" in config.allow_origins:
            problems.append('allow_origins: "*" with allow_credentials lets every page act as its visitor; name them')
        return problems

    def build(self, config: CorsConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, but for preflights."""
        allowed = _matcher(config.allow_origins)
        anybody = config.allow_origins == ("*",) and not config.allow_credentials
        expose = ", ".join(config.expose_headers)
        count = runtime.count

        def grant(headers: Headers, origin: str) -> None:
            headers.set("access-control-allow-origin", "*" if anybody else origin)
            if config.allow_credentials:
                headers.set("access-control-allow-credentials", "true")

        async def handle(exchange: Exchange) -> Response:
            origin = exchange.headers.get("origin")
            preflight = origin is not None and exchange.method == "OPTIONS"
            method = exchange.headers.get("access-control-request-method") if preflight else None
            if origin is not None and method is not None:
                count("cors_preflights_total")
                headers = Headers.of([("tulle-reason", PREFLIGHT), ("vary", VARY)])
                if allowed(origin):
                    grant(headers, origin)
                    _permissions(headers, config, method, exchange.headers.get("access-control-request-headers") or "")
                return Response(204, headers, reason=PREFLIGHT)
            response = await next(exchange)
            for name in OURS:
                response.headers.remove(name)
            if not anybody:
                # also where there is no Origin: the answer depends on it, and a cache must know (Fetch, 3.2.5)
                response.headers.add("vary", "Origin")
            if origin is not None and allowed(origin):
                grant(response.headers, origin)
                if expose:
                    response.headers.set("access-control-expose-headers", expose)
            return response

        return handle


def _permissions(headers: Headers, config: CorsConfig, method: str, asked: str) -> None:
    # "*" is said by naming what was asked for: with credentials browsers take it literally
    methods = method if config.allow_methods == ("*",) else ", ".join(config.allow_methods)
    fields = asked if config.allow_headers == ("*",) else ", ".join(config.allow_headers)
    headers.set("access-control-allow-methods", methods)
    if fields:
        headers.set("access-control-allow-headers", fields)
    headers.set("access-control-max-age", str(int(config.max_age)))


def _matcher(origins: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether an origin is one of these. Compared as they are: browsers send them in lower case."""
    if "*" in origins:
        return lambda origin: True
    exact = frozenset(origins)
    patterns = [re.escape(o).replace(r"\*", r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*") for o in origins if "*" in o]
    subdomains = re.compile("|".join(patterns))
    if not patterns:
        return lambda origin: origin in exact
    return lambda origin: origin in exact or subdomains.fullmatch(origin) is not None


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `cors`."""
    return {"cors": Cors()}
