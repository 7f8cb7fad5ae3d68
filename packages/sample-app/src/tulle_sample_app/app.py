"""What the app answers: who served the request, what the upstream said, and the pages to look at and turn it.

    /healthz  /readyz   liveness and readiness
    /knobs              GET shows the knobs, POST turns them for this process
    /stats              GET shows the counters, POST sets them back
    /anything else      the answer, under the knobs; a query parameter with a knob's name turns it for this request
                        only, and one that begins with `upstream.` is passed on to the upstream
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode, urlsplit

from tulle_sample_app.http1 import Headers, HttpError, Request
from tulle_sample_app.knobs import PARSERS, PROCESS_ONLY, KnobError, Knobs, decide, turn
from tulle_sample_app.server import Connection, Response, as_json
from tulle_sample_app.stats import Stats
from tulle_sample_app.upstream import Answer, Upstream, UpstreamError

MAX_KNOBS_BYTES = 64 * 1024
# what an app hands on, so that traces are whole: it alone knows which call belongs to which request
PASSED_ON = ("x-request-id", "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid",
             "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "user-agent")
SHOWN = {*PASSED_ON, "host", "forwarded", "via"}
SHOWN_PREFIXES = ("x-forwarded-", "x-envoy-", "l5d-", "tulle-")


Page = Callable[[Request, Connection, dict[str, str]], Awaitable[Response]]


@dataclass(frozen=True)
class Identity:
    """Who this process is: app-a or app-b, and the pod that it runs in."""

    app: str
    pod: str


class App:
    """The app's state: knobs, counters and the upstream (None for an app that calls nobody)."""

    def __init__(self, identity: Identity, knobs: Knobs, upstream: Upstream | None) -> None:
        self.identity, self.knobs, self.upstream = identity, knobs, upstream
        self.stats = Stats()
        self.turned = asyncio.Event()  # set when a knob was turned; the load generator waits for it
        self.draining = False  # see drain
        self._started, self._started_at = time.monotonic(), time.time()
        self._pages: dict[str, Page] = {"/healthz": self._healthz, "/readyz": self._readyz, "/knobs": self._knobs,
                                        "/stats": self._stats}

    async def handle(self, request: Request, connection: Connection) -> Response:
        """Answer one request. This is the server's handler."""
        url = urlsplit(request.target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        page = self._pages.get(url.path)
        if page is not None:
            return await page(request, connection, query)
        started = time.perf_counter()
        self.stats.in_flight += 1
        try:
            response = await self._answer(request, connection, url.path, query)
        finally:
            self.stats.in_flight -= 1
        self.stats.count_served(response.status, time.perf_counter() - started)
        return response

    async def _answer(self, request: Request, connection: Connection, path: str, query: dict[str, str]) -> Response:
        onward = {name.removeprefix("upstream."): query.pop(name) for name in list(query)
                  if name.startswith("upstream.")}
        for_us = {name: query.pop(name) for name in list(query) if name in PARSERS and name not in PROCESS_ONLY}
        try:
            knobs = turn(self.knobs, for_us)
        except KnobError as error:
            return as_json(400, {"error": str(error)})
        who = {"app": self.identity.app, "version": knobs.version, "pod": self.identity.pod}
        fate = decide(knobs, random.random)
        if fate.delay:
            await asyncio.sleep(fate.delay)
        if fate.status is not None:
            return as_json(fate.status, {**who, "error": "failed because the failure_rate knob says so"})
        answer: dict[str, object] = {
            **who, "source": connection.source, "method": request.method, "path": path,
            **({"query": query} if query else {}),
            "protocol": request.version, "request_on_connection": connection.requests,
            "headers": {name: value for name, value in request.headers.fields
                        if name in SHOWN or name.startswith(SHOWN_PREFIXES)},
        }
        received = await _digest(connection)
        if received:
            answer["received"] = received
        status = 200
        if self.upstream is not None:
            status, answer["upstream"] = await self.ask_upstream(path, onward, request.headers)
        return as_json(status, answer, pad_to=knobs.answer_bytes, chunked=knobs.chunked)

    async def ask_upstream(self, path: str, query: Mapping[str, str],
                           headers: Headers) -> tuple[int, dict[str, object]]:
        """Call the upstream and count the outcome; return our own status, 502 if it failed, and what it said."""
        assert self.upstream is not None
        started = time.perf_counter()
        target = f"{path or '/'}?{urlencode(query)}" if query else path or "/"
        fields = [(name, value) for name, value in headers.fields if name in PASSED_ON]
        self.stats.asking += 1
        try:
            answer = await self.upstream.get(target, fields)
        except UpstreamError as error:
            self.stats.count_asked(error.reason, "", time.perf_counter() - started)
            return 502, {"url": self.upstream.url, "error": str(error)}
        finally:
            self.stats.asking -= 1
        said = _said(answer)
        by = f"{said['app']} {said['version']} {said['pod']}" if {"app", "version", "pod"} <= said.keys() else ""
        self.stats.count_asked(str(answer.status), by, time.perf_counter() - started)
        status = 200 if answer.status < 400 else 502
        return status, {"url": self.upstream.url, "status": answer.status, "answer": said}

    def drain(self) -> None:
        """Shut down: not ready any more, and no new calls of the load generator's."""
        self.draining = True
        self.knobs = turn(self.knobs, {"load_rps": 0})
        self.turned.set()

    async def _healthz(self, *_: object) -> Response:
        return as_json(200, {"healthy": True}) if self.knobs.healthy else as_json(
            500, {"healthy": False, "because": "the healthy knob is off"})

    async def _readyz(self, *_: object) -> Response:
        if self.draining:
            return as_json(503, {"ready": False, "because": "the app is shutting down"})
        return as_json(200, {"ready": True}) if self.knobs.ready else as_json(
            503, {"ready": False, "because": "the ready knob is off"})

    async def _stats(self, request: Request, connection: Connection, query: dict[str, str]) -> Response:
        if request.method == "POST":
            self.stats.reset()
        opened = {"connections_opened": self.upstream.connections} if self.upstream is not None else {}
        return as_json(200, {"app": self.identity.app, "version": self.knobs.version, "pod": self.identity.pod,
                             "uptime_seconds": round(time.monotonic() - self._started, 3),
                             "started_at": round(self._started_at, 3),
                             **self.stats.report(), **opened})

    async def _knobs(self, request: Request, connection: Connection, query: dict[str, str]) -> Response:
        if request.method in ("POST", "PUT", "PATCH"):
            try:
                knobs = turn(self.knobs, {**query, **_changes(await _whole_body(connection))})
                if knobs.load_rps and self.upstream is None:
                    raise KnobError("load_rps: this app has no upstream to call (APP_UPSTREAM is empty)")
            except KnobError as error:
                return as_json(400, {"error": str(error)})
            self.knobs = knobs
            self.turned.set()
        return as_json(200, asdict(self.knobs))


async def _digest(connection: Connection) -> dict[str, object] | None:
    """Read a request's body; say how long it was and its SHA-256, or None if there was none."""
    count, digest = 0, sha256()
    async for piece in connection.body():
        count += len(piece)
        digest.update(piece)
    return {"bytes": count, "sha256": digest.hexdigest()} if count else None


async def _whole_body(connection: Connection) -> bytes:
    body = b""
    async for piece in connection.body():
        body += piece
        if len(body) > MAX_KNOBS_BYTES:
            raise HttpError(413, f"knobs are at most {MAX_KNOBS_BYTES} bytes")
    return body


def _changes(body: bytes) -> dict[str, object]:
    """Read knobs from a body: a JSON object, or name=value&... as `curl -d` sends it."""
    text = body.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        changes = json.loads(text)
    except ValueError as error:
        raise KnobError(f"the body is not JSON: {error}") from None
    assert isinstance(changes, dict)
    return changes


def _said(answer: Answer) -> dict[str, object]:
    """The upstream's JSON object, or the beginning of what it said instead."""
    if "json" in answer.content_type:
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        if isinstance(said, dict):
            return said
    return {"text": answer.body[:1024].decode("utf-8", "replace")}
