"""The HTTP API's routes and parameters (Starlette). Nothing can be changed through it; a request can be sent.

Owns which path answers what, and what a bad parameter is told. README.md documents every answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tulle_plugin_api.config import Duration

from tulle_control_plane.core.conditions import Gone
from tulle_control_plane.directory import CatalogDirectory
from tulle_control_plane.feed import Feed
from tulle_control_plane.grpc.explaining import Unanswerable
from tulle_control_plane.grpc.proxies import Proxies
from tulle_control_plane.grpc.session import Session, State
from tulle_control_plane.grpc.telemetry import Telemetry
from tulle_control_plane.telemetry import views
from tulle_control_plane.telemetry.traffic import Traffic
from tulle_control_plane.telemetry.windows import LONGEST, SHORTEST
from tulle_control_plane.web import routes, rows
from tulle_control_plane.web.explain import answer, permit, question
from tulle_control_plane.web.rehearsal import Rehearsal

DEFAULT_WINDOW = 30.0  # seconds
LARGEST_BODY = 4 * 1024 * 1024
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Api:
    """The API over the control plane's parts. `wall` and `now`: wall-clock and monotonic seconds."""

    version: str
    cluster_domain: str
    started: float
    proxies: Proxies
    feed: Feed
    telemetry: Telemetry
    traffic: Traffic
    directory: CatalogDirectory
    gone: Callable[[], Gone] = dict
    """Plugins that have been uninstalled (`Plugins.gone`)."""
    wall: Callable[[], float] = time.time
    now: Callable[[], float] = time.monotonic

    def app(self) -> Starlette:
        """The ASGI application."""
        routes: list[tuple[str, Endpoint]] = [
            ("/live", self.live),
            ("/ready", self.ready),
            ("/api/v1/version", self.about),
            ("/api/v1/stat", self.stat),
            ("/api/v1/backends", self.backends),
            ("/api/v1/edges", self.edges),
            ("/api/v1/proxies", self.all_proxies),
            ("/api/v1/proxies/{namespace}/{pod}", self.one_proxy),
            ("/api/v1/catalog", self.catalog),
            ("/api/v1/routes", self.compiled_routes),
        ]
        rehearse = Route("/api/v1/rehearse", self.rehearse, methods=["POST"])
        explain = Route("/api/v1/explain", self.explain, methods=["POST"])
        return Starlette(
            routes=[*(Route(path, endpoint, methods=["GET"]) for path, endpoint in routes), rehearse, explain],
            exception_handlers={HTTPException: _problem},
        )

    def health(self) -> Starlette:
        """What kubelet asks, on a port that it can reach: whether the control plane lives, and is ready; no more."""
        routes = [("/live", self.live), ("/ready", self.ready)]
        return Starlette(
            routes=[Route(path, endpoint, methods=["GET"]) for path, endpoint in routes],
            exception_handlers={HTTPException: _problem},
        )

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 once the catalog has synced."""
        if self.proxies.snapshots.synced:
            return _json({"status": "ready"})
        error = f"the catalog has not synced yet: {self.feed.name!r} has not told all that exists; see the log"
        return _json({"status": "waiting", "error": error}, 503)

    async def about(self, request: Request) -> Response:
        """What runs here."""
        return _json(
            {
                "version": self.version,
                "cluster_domain": self.cluster_domain,
                "started": rows.timestamp(self.started),
                "catalog": self.feed.name,
            }
        )

    async def stat(self, request: Request) -> Response:
        """Figures of workloads and Services."""
        window = _window(request)
        subjects = self.directory.subjects(_text(request, "namespace"), _text(request, "kind"))
        return _json({"window": window, "rows": views.stat(self.traffic, subjects, window, self.now())})

    async def backends(self, request: Request) -> Response:
        """Figures of each backend of a Service, as the Service's callers saw it."""
        window = _window(request)
        namespace, service = _text(request, "namespace"), _text(request, "service")
        return _json(
            {"window": window, "rows": views.backends(self.traffic, namespace, service, window, self.now())}
        )

    async def edges(self, request: Request) -> Response:
        """Figures of who called whom."""
        window = _window(request)
        found = views.edges(self.traffic, _text(request, "namespace"), window, self.now())
        return _json({"window": window, "rows": found})

    async def all_proxies(self, request: Request) -> Response:
        """Every proxy and its state."""
        await self.proxies.settle()
        namespace, now = _text(request, "namespace"), self.wall()
        sessions = [s for s in self.proxies.sessions if namespace in ("", s.node.namespace)]
        found = [self._proxy(session, now) for session in sessions]
        counts = {state.value: sum(row["state"] == state.value for row in found) for state in State}
        return _json({"counts": counts, "proxies": found})

    async def one_proxy(self, request: Request) -> Response:
        """One proxy, with its configuration."""
        await self.proxies.settle()
        namespace, pod = request.path_params["namespace"], request.path_params["pod"]
        for session in self.proxies.sessions:
            if (session.node.namespace, session.node.pod) == (namespace, pod):
                return _json(self._proxy(session, self.wall(), with_config=True))
        raise HTTPException(
            404,
            f"no proxy of pod {namespace}/{pod} is connected; is the pod injected and running? "
            "`tulle proxy status` lists those that are",
        )

    def _proxy(self, session: Session, now: float, *, with_config: bool = False) -> rows.Json:
        node = session.node
        known = self.directory.pod(node.namespace, node.pod)
        gauges = self.telemetry.gauges.get((node.namespace, node.pod))
        row = rows.proxy(session, known.workload if known else "", gauges, now, with_config=with_config)
        row["plugins"] = [asdict(fault) for fault in self.telemetry.faults.get((node.namespace, node.pod), ())]
        return row

    async def rehearse(self, request: Request) -> Response:
        """What objects would change if they were applied."""
        self._synced()
        try:
            given = msgspec.json.decode(await _body(request))
            listed = given["objects"]
            assert isinstance(listed, list)
        except (msgspec.DecodeError, KeyError, TypeError, AssertionError):
            raise HTTPException(400, 'expected {"objects": [...]} as JSON') from None
        rehearsal = Rehearsal.of(self.proxies.snapshots, self.proxies.sessions, rows.timestamp(self.wall()))
        return _json(await asyncio.to_thread(rehearsal.play, listed))

    async def explain(self, request: Request) -> Response:
        """Have a client's proxy send a request; what became of it in both proxies."""
        permit(request)
        self._synced()
        asked = question(await _body(request), self.proxies.snapshots)
        namespace, pod = asked.client
        if not any((one.node.namespace, one.node.pod) == asked.client for one in self.proxies.sessions):
            raise HTTPException(404, f"no proxy of pod {namespace}/{pod} is connected; `tulle proxy status` lists them")
        try:
            return _json(answer(await self.telemetry.explaining.ask(asked)))
        except Unanswerable as error:
            raise HTTPException(error.status, str(error)) from None

    def _synced(self) -> None:
        if not self.proxies.snapshots.synced:
            raise HTTPException(503, "the catalog has not synced yet; ask again in a moment")

    async def catalog(self, request: Request) -> Response:
        """What exists, and what was refused."""
        await self.proxies.settle()
        return _json(
            rows.catalog(
                self.proxies.snapshots,
                self.feed.name,
                self.feed.rejected_since,
                _text(request, "kind"),
                _text(request, "namespace"),
                self.proxies.sessions,
                self.gone(),
            )
        )

    async def compiled_routes(self, request: Request) -> Response:
        """The table of a Service's ports, as clients of a namespace have it."""
        self._synced()
        await self.proxies.settle()
        names = {name: _text(request, name) for name in ("service", "namespace", "client")}
        if not names["service"]:
            raise HTTPException(400, "service: missing; a Service's name, such as ?service=app-b&namespace=default")
        port = _text(request, "port")
        if port and not (port.isascii() and port.isdigit()):
            raise HTTPException(400, f"port: expected a number such as 80, got {port!r}")
        namespace = names["namespace"] or "default"
        found = routes.tables(
            self.proxies.snapshots, (namespace, names["service"]), int(port or 0), names["client"] or namespace
        )
        if not found:
            on = f" port {port}" if port else ""
            raise HTTPException(404, f"no Service {namespace}/{names['service']}{on} with a cluster IP is known")
        attached = rows.routes_to(self.proxies.snapshots, (namespace, names["service"]))
        return _json({"tables": found, "routes": attached})


def _text(request: Request, name: str) -> str:
    return request.query_params.get(name, "")


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"a body of more than {LARGEST_BODY} bytes")
    return body


def _window(request: Request) -> float:
    text = request.query_params.get("window", "")
    if not text:
        return DEFAULT_WINDOW
    try:
        seconds = float(Duration.parse(text))
    except ValueError as error:
        raise HTTPException(400, f"window: {error}") from None
    if not SHORTEST <= seconds <= LONGEST:
        raise HTTPException(400, f"window: expected {SHORTEST:g}s to {LONGEST / 60:g}m, got {text}")
    return seconds


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        text = error.detail
        if error.status_code == 404 and text == "Not Found":
            text = f"there is no {request.url.path} here; see packages/control-plane/README.md for what there is"
        return _json({"error": text}, error.status_code)
    return _json({"error": "internal error; see the control plane's log"}, 500)
