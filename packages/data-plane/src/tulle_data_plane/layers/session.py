"""Session: requests of one session go to the endpoint that the first of them went to (Gateway API, GEP-1619).

Owns the token that a client carries, in a cookie or a header field, and the choice that it makes. The token says which
endpoint by a hash, so that every proxy understands it without being told, and nobody outside learns addresses; and when
the session began and was last seen, so that its limits need no memory here. An endpoint that has left, is ejected or
accepts no connection is replaced, and the client is told of another.

Fine here: tokens are not signed. Who forges one chooses among the endpoints of the route's own backends, or makes its
session last; a production mesh that must not allow that would sign them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Endpoint, Exchange, Handler, Response

from tulle_data_plane.layers.balance import Backend
from tulle_data_plane.layers.route import SHARE, Share, picker

PINNED = "session.endpoint"
"""The attribute of an exchange that holds the endpoint of its session."""


class _Token(NamedTuple):
    """What a client carries: "<16 hexadecimal digits>.<seconds>.<seconds>", the times of the wall clock."""

    endpoint: str
    begun: int
    seen: int


def session(
    name: str,
    shares: Sequence[Share],
    config: pb.Session,
    backends: Mapping[str, Backend],
    random: Random,
    wall: Callable[[], float],
    next: Handler,
) -> Handler:
    """As `route`, but for requests of a session, whose endpoint is noted for `pinned` to pick."""
    weighted = [share for share in shares if share.weight > 0]
    pick = picker(name, weighted, random)
    known = _Endpoints(weighted, backends)
    absolute, idle = config.absolute_ms / 1000, config.idle_ms / 1000

    async def handler(exchange: Exchange) -> Response:
        now = wall()
        token = _read(exchange, config)
        if token is not None and not (
            token.begun <= now + 1
            and (not absolute or now - token.begun < absolute)
            and (not idle or now - token.seen < idle)
        ):
            token = None
        found = known.get(token.endpoint) if token is not None else None
        if found is not None:
            share, endpoint = found
            exchange.attributes[PINNED] = endpoint
        else:
            token, share, endpoint = None, pick(), None
        exchange.route, exchange.backend = name, share.backend
        exchange.attributes[SHARE] = share
        response = await next(exchange)
        served = exchange.endpoint
        if served is not None and (served != endpoint or idle):
            begun = token.begun if token is not None and served == endpoint else int(now)
            _write(response, config, _Token(_digest(share.backend, served), begun, int(now)), now)
        return response

    return handler


def pinned(backend: Backend, exchange: Exchange, now: float, tried: Sequence[Endpoint]) -> Endpoint:
    """Backend.pick, but the endpoint of the exchange's session while that can be had."""
    endpoint = exchange.attributes.get(PINNED)
    if (
        isinstance(endpoint, Endpoint)
        and not tried
        and endpoint not in exchange.avoid
        and endpoint in backend.endpoints
        and not backend.ejections.ejected(endpoint, now)
    ):
        return endpoint
    return backend.pick(exchange, now, tried)


class _Endpoints:
    """The endpoints of a route's backends by their hash; worked out anew when they have changed."""

    def __init__(self, shares: Sequence[Share], backends: Mapping[str, Backend]) -> None:
        self._parts = [(share, backends[share.backend]) for share in shares if share.backend in backends]
        self._seen: list[Sequence[Endpoint]] = []
        self._found: dict[str, tuple[Share, Endpoint]] = {}

    def get(self, digest: str) -> tuple[Share, Endpoint] | None:
        """The endpoint with that hash, and the share that it is in."""
        now = [backend.endpoints for _, backend in self._parts]
        if len(now) != len(self._seen) or any(a is not b for a, b in zip(now, self._seen, strict=True)):
            self._seen = list(now)
            self._found = {
                _digest(share.backend, endpoint): (share, endpoint)
                for share, backend in reversed(self._parts)
                for endpoint in backend.endpoints
            }
        return self._found.get(digest)


def _digest(backend: str, endpoint: Endpoint) -> str:
    return blake2b(f"{backend}|{endpoint.address}".encode(), digest_size=8).hexdigest()


def _read(exchange: Exchange, config: pb.Session) -> _Token | None:
    if config.header:
        return _parsed(exchange.headers.get(config.name) or "")
    for field in exchange.headers.get_all("cookie"):
        for pair in field.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == config.name:
                return _parsed(value)
    return None


def _parsed(text: str) -> _Token | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 12 for part in parts[1:]):
        return None
    return _Token(parts[0], int(parts[1]), int(parts[2]))


def _write(response: Response, config: pb.Session, token: _Token, now: float) -> None:
    text = f"{token.endpoint}.{token.begun}.{token.seen}"
    if config.header:
        response.headers.set(config.name, text)
        return
    lasting = ""
    if config.permanent and config.absolute_ms:
        lasting = f"; Max-Age={max(0, int(token.begun + config.absolute_ms / 1000 - now))}"
    response.headers.add("set-cookie", f"{config.name}={text}; Path=/; HttpOnly; SameSite=Lax{lasting}")
