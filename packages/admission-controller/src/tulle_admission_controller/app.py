"""The two web applications: reviews over TLS, health in plain. Starlette around pure functions.

Owns HTTP: methods, body limit, body deadline, content type, one log line and one count a review. What is decided
comes from `mutate.py` and `validate.py` through `review.py`; every POST gets an AdmissionReview as its answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from . import metrics as metrics_page
from .keyring import Keyring
from .metrics import Metrics
from .mutate import NamespaceAnnotations, mutate
from .review import MAX_BYTES, AdmissionRequest, Decision, Reviewed, refusal, review
from .settings import InjectSettings
from .validate import PolicyProblems, validate

log = logging.getLogger(__name__)

BODY_SECONDS = 10.0
"""A body that has not arrived by then is not waited for: the API server gives up after 5 s (timeoutSeconds)."""
DISCARDED_BYTES = 16 * 1024 * 1024
"""So much of a body is read before its sender is refused without listening any longer."""


@dataclass(frozen=True, slots=True)
class Deciders:
    """What the decisions depend on."""

    settings: InjectSettings
    namespaces: NamespaceAnnotations
    policies: PolicyProblems


class Took(NamedTuple):
    """How long a review was in our hands, and how much of that we worked; the rest the machine did something else."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


def webhook_app(deciders: Deciders, metrics: Metrics) -> Starlette:
    """POST /mutate and /validate."""

    def mutating(request: AdmissionRequest) -> Decision:
        return mutate(request, deciders.settings, deciders.namespaces)

    def validating(request: AdmissionRequest) -> Decision:
        return validate(request, deciders.policies)

    return Starlette(
        routes=[
            Route("/mutate", _endpoint("mutate", mutating, metrics), methods=["POST"]),
            Route("/validate", _endpoint("validate", validating, metrics), methods=["POST"]),
        ]
    )


def health_app(not_ready: Callable[[], str], keyring: Keyring, metrics: Metrics) -> Starlette:
    """GET /live, /ready, /metrics. `not_ready` gives the reason for a 503, or an empty string."""

    async def live(request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(request: Request) -> Response:
        reason = not_ready()
        return PlainTextResponse(f"not ready: {reason}\n", 503) if reason else PlainTextResponse("ready\n")

    async def page(request: Request) -> Response:
        text = metrics.render(keyring.leaf.certificate.not_valid_after_utc, len(keyring.authorities))
        return Response(text, media_type=metrics_page.CONTENT_TYPE)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", page)])


def _endpoint(
    name: str, decide: Callable[[AdmissionRequest], Decision], metrics: Metrics
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        result = await _read_and_review(request, decide)
        if isinstance(result, Response):
            return result
        reviewed, took = result
        dry_run = reviewed.request is not None and reviewed.request.dry_run
        metrics.reviewed(name, reviewed.decision.outcome, dry_run=dry_run, seconds=took.seconds)
        _log(name, reviewed, took)
        headers = {} if reviewed.status == 200 else {"connection": "close"}  # the rest of a body may still come
        return Response(reviewed.body, reviewed.status, headers, "application/json")

    return endpoint


async def _read_and_review(
    request: Request, decide: Callable[[AdmissionRequest], Decision]
) -> tuple[Reviewed, Took] | Response:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _body(request)
    except TimeoutError:
        return refusal(408, f"the body did not arrive within {BODY_SECONDS:.0f} seconds"), Took()
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    if body is None:
        return refusal(413, f"the body is longer than {MAX_BYTES} bytes"), Took()
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return refusal(415, f"content-type is {content_type[:80]!r}, not application/json"), Took()
    began, worked = time.perf_counter(), time.thread_time()
    reviewed = review(body, decide)  # waits for nothing: what it took beyond its work, others took from it
    return reviewed, Took(time.perf_counter() - began, time.thread_time() - worked)


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is too long. Of a body that is too long the rest is read and thrown away, within
    reason: closing a connection with bytes unread resets it, and the client would never see the refusal.
    """
    body = bytearray()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received <= MAX_BYTES:
            body += chunk
        elif received > DISCARDED_BYTES:
            break
    return bytes(body) if received <= MAX_BYTES else None


def _log(endpoint: str, reviewed: Reviewed, took: Took) -> None:
    fields: dict[str, object] = {"endpoint": endpoint, "outcome": reviewed.decision.outcome}
    request = reviewed.request
    if request is not None:
        fields |= {
            "uid": request.uid,
            "kind": request.kind,
            "namespace": request.namespace,
            "name": request.name or _generate_name(request),
            "user": request.user,
        }
        if request.dry_run:
            fields["dry_run"] = True
    if reviewed.decision.message:
        fields["reason"] = reviewed.decision.message
    if reviewed.decision.warnings:
        fields["warnings"] = reviewed.decision.warnings
    fields["milliseconds"] = round(took.seconds * 1000, 2)
    fields["cpu_milliseconds"] = round(took.cpu_seconds * 1000, 2)
    level = logging.INFO if reviewed.decision.allowed else logging.WARNING
    if reviewed.error is not None:
        log.error("review failed", exc_info=reviewed.error, extra={"fields": fields})
    else:
        log.log(level, f"review {reviewed.decision.outcome}", extra={"fields": fields})


def _generate_name(request: AdmissionRequest) -> str:
    metadata = (request.object or {}).get("metadata")
    prefix = metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{prefix}*" if isinstance(prefix, str) else ""
