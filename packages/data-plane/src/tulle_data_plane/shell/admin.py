"""The admin port: /live, /ready, /metrics, /config, and POST /shutdown from loopback.

Owns the routes, as a handler like any other: the same codec that serves applications serves it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from tulle_plugin_api import Exchange, Exporter, Handler, Headers, Response, Service

from tulle_data_plane.containment import must_go_on
from tulle_data_plane.layers.rescue import rescue


class Admin:
    """What the admin port answers. Is an http1_server.Route."""

    service: Service | None = None

    def __init__(
        self,
        *,
        ready: Callable[[], str],
        config: Callable[[], Any],
        exporters: dict[str, Exporter],
        counters: Callable[[], dict[str, float]],
        shutdown: Callable[[], None],
        failed: Callable[[str, str, BaseException | str], None],
    ) -> None:
        """`ready` says why not, or "" when it is. `failed` is told of an exporter, what it did, and more of that."""
        self._failed = failed
        self._ready = ready
        self._config = config
        self._exporters = exporters
        self._counters = counters
        self._shutdown = shutdown
        self.handler: Handler = rescue(self._handle)
        self._routes: dict[tuple[str, str], Callable[[Exchange], Awaitable[Response]]] = {
            ("GET", "/live"): self._live,
            ("GET", "/ready"): self._is_ready,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/config"): self._show_config,
            ("POST", "/shutdown"): self._shut_down,
        }

    async def _handle(self, exchange: Exchange) -> Response:
        path = exchange.path.partition("?")[0]
        method = "GET" if exchange.method == "HEAD" else exchange.method
        route = self._routes.get((method, path))
        if route is not None:
            response = await route(exchange)
            if exchange.method == "HEAD":
                response.body = b""
            return response
        allowed = [m for m, p in self._routes if p == path]
        if allowed:
            return _text(405, f"{path} takes {allowed[0]}\n", allow=allowed[0])
        return _text(404, "there are: " + ", ".join(sorted(p for _, p in self._routes)) + "\n")

    async def _live(self, exchange: Exchange) -> Response:
        return _text(200, "live\n")

    async def _is_ready(self, exchange: Exchange) -> Response:
        why_not = self._ready()
        return _text(503, why_not + "\n") if why_not else _text(200, "ready\n")

    async def _metrics(self, exchange: Exchange) -> Response:
        parts = []
        for name, exporter in self._exporters.items():
            try:
                text: object = exporter.collect()
            except BaseException as error:  # one that is broken hides no other's figures
                if must_go_on(error):
                    raise
                self._failed(name, "raised", error)
                continue
            if isinstance(text, bytes):
                parts.append(text)
            elif text is not None:
                self._failed(name, "nonsense", f"collect gave {type(text).__name__}, not bytes or None")
        if not parts:
            lines = [f"{name} {value:g}" for name, value in sorted(self._counters().items())]
            parts = ["\n".join([*lines, ""]).encode()]
        return Response(
            200, Headers.of([("content-type", "text/plain; version=0.0.4; charset=utf-8")]), b"".join(parts)
        )

    async def _show_config(self, exchange: Exchange) -> Response:
        body = msgspec.json.format(msgspec.json.encode(self._config()), indent=2)
        return Response(200, Headers.of([("content-type", "application/json")]), body + b"\n")

    async def _shut_down(self, exchange: Exchange) -> Response:
        if not (exchange.source.ip.startswith("127.") or exchange.source.ip == "::1"):
            return _text(403, "only from within the pod\n")
        self._shutdown()
        return _text(200, "shutting down\n")


def _text(status: int, text: str, **fields: str) -> Response:
    headers = Headers.of([("content-type", "text/plain; charset=utf-8"), *fields.items()])
    return Response(status, headers, text.encode())
