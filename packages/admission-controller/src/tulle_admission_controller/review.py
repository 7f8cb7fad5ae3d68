"""AdmissionReview v1 (admission.k8s.io): from the bytes of a request to the bytes of an answer. Pure.

Owns the protocol: what is a review, what a refusal looks like, uid, patch and warnings. What to decide about the
object is a function that the caller passes in. Whatever arrives, something well-formed leaves.

Statuses: 200 when the answer is about the object, also for "no"; 400, 413, 415 when there was no review to answer,
so that the API server treats it as a failed call (failurePolicy); 500 when we are at fault, likewise.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from .jsonpatch import Operation

API_VERSION = "admission.k8s.io/v1"
MAX_BYTES = 3 * 1024 * 1024
"""etcd takes objects of 1.5 MiB; the API server's own limit for a request is 3 MiB."""
_MAX_UID = 256
_MAX_WARNING = 250  # the API server cuts longer ones
_MAX_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The parts of `request` that decisions need, with their types checked. Objects are as they came."""

    uid: str
    group: str
    kind: str
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    name: str
    namespace: str
    subresource: str
    object: Mapping[str, Any] | None
    old_object: Mapping[str, Any] | None
    dry_run: bool
    user: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no. `outcome` is one word for logs and metrics; a no says why in `message`, with an HTTP-like `code`."""

    allowed: bool
    outcome: str
    message: str = ""
    code: int = 200
    patch: list[Operation] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An answer: HTTP status, JSON body, and what it was, for logs (`request` is None when none could be read)."""

    status: int
    body: bytes
    decision: Decision
    request: AdmissionRequest | None = None
    error: Exception | None = None
    """A fault of ours: to be logged with its traceback."""


class BadReview(ValueError):
    """Not an AdmissionReview v1 that we can answer; the message says what would be one."""


def review(body: bytes, decide: Callable[[AdmissionRequest], Decision]) -> Reviewed:
    """Answers one AdmissionReview. Never raises: not for what arrives, not for what `decide` does."""
    uid = ""
    try:
        document = _parsed(body)
        uid = _uid(document)
        request = _request(document, uid)
    except BadReview as error:
        return refusal(400, str(error), uid=uid)
    try:
        decision = decide(request)
    except Exception as error:  # a fault of ours or of a plugin: said, logged, and the next review is answered
        text = f"the webhook failed on this object ({type(error).__name__}); its log has the details"
        decision = Decision(False, "failed", text, 500)
        return Reviewed(500, _answer(uid, decision), decision, request, error)
    return Reviewed(200, _answer(uid, decision), decision, request)


def refusal(status: int, message: str, *, uid: str = "") -> Reviewed:
    """The refusal of something that is no review. With a uid it is a proper answer to that request (HTTP 200)."""
    decision = Decision(False, "malformed", message, status)
    return Reviewed(200 if uid else status, _answer(uid, decision), decision)


def _parsed(body: bytes) -> Mapping[str, Any]:
    if len(body) > MAX_BYTES:
        raise BadReview(f"the body is {len(body)} bytes; at most {MAX_BYTES} are read")
    try:
        document = msgspec.json.decode(body)
    except RecursionError:
        raise BadReview("the JSON is nested too deeply; Kubernetes objects need a few dozen levels") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadReview(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadReview("the body is not a JSON object; expected an AdmissionReview")
    return document


def _uid(document: Mapping[str, Any]) -> str:
    request = document.get("request")
    if not isinstance(request, dict):
        raise BadReview(f"request is missing or not an object; expected an AdmissionReview of {API_VERSION}")
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAX_UID:
        raise BadReview(f"request.uid must be a string of 1 to {_MAX_UID} characters: the answer repeats it")
    return uid


def _request(document: Mapping[str, Any], uid: str) -> AdmissionRequest:
    if document.get("apiVersion") != API_VERSION:
        raise BadReview(
            f"apiVersion is {_shown(document.get('apiVersion'))}, not {API_VERSION}; "
            'set admissionReviewVersions: ["v1"] in the webhook configuration'
        )
    if document.get("kind") != "AdmissionReview":
        raise BadReview(f"kind is {_shown(document.get('kind'))}, not AdmissionReview")
    request: Mapping[str, Any] = document["request"]
    kind = request.get("kind")
    if not isinstance(kind, dict) or not isinstance(kind.get("kind"), str) or not kind["kind"]:
        raise BadReview("request.kind must be an object with group, version and kind")
    operation = request.get("operation")
    if operation not in ("CREATE", "UPDATE", "DELETE", "CONNECT"):
        raise BadReview(f"request.operation is {_shown(operation)}, not CREATE, UPDATE, DELETE or CONNECT")
    dry_run = request.get("dryRun")
    if not isinstance(dry_run, bool | None):
        raise BadReview(f"request.dryRun is {_shown(dry_run)}, not true or false")
    user = request.get("userInfo")
    return AdmissionRequest(
        uid=uid,
        group=_text(kind, "group", "request.kind."),
        kind=kind["kind"],
        operation=operation,
        name=_text(request, "name"),
        namespace=_text(request, "namespace"),
        subresource=_text(request, "subResource"),
        object=_object(request, "object", needed=operation in ("CREATE", "UPDATE"), kind=kind["kind"]),
        old_object=_object(request, "oldObject", needed=False, kind=kind["kind"]),
        dry_run=bool(dry_run),
        user=_text(user, "username") if isinstance(user, dict) else "",
    )


def _text(node: Mapping[str, Any], name: str, path: str = "request.") -> str:
    value = node.get(name)
    if not isinstance(value, str | None):
        raise BadReview(f"{path}{name} is {_shown(value)}, not a string")
    return value or ""


def _object(request: Mapping[str, Any], name: str, *, needed: bool, kind: str) -> Mapping[str, Any] | None:
    value = request.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, dict):
        raise BadReview(f"request.{name} is {_shown(value)}, not an object; a {request.get('operation')} has one")
    if value.get("kind", kind) != kind:
        raise BadReview(f"request.{name}.kind is {_shown(value.get('kind'))}, but request.kind says {kind}")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "missing" if value is None else repr(value)[:80]


def _answer(uid: str, decision: Decision) -> bytes:
    response: dict[str, Any] = {"uid": uid, "allowed": decision.allowed}
    if not decision.allowed:
        reason = {400: "BadRequest", 403: "Forbidden", 413: "RequestEntityTooLarge", 422: "Invalid"}
        response["status"] = {
            "status": "Failure",
            "reason": reason.get(decision.code, "InternalError" if decision.code >= 500 else "BadRequest"),
            "code": decision.code,
            "message": f"tulle: {decision.message}"[:_MAX_MESSAGE],
        }
    elif decision.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(msgspec.json.encode(decision.patch)).decode()
    if decision.warnings:
        response["warnings"] = [_line(warning) for warning in decision.warnings]
    response["auditAnnotations"] = {"outcome": decision.outcome}
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})


def _line(text: str) -> str:
    # a warning travels in an HTTP header (RFC 7234 section 5.5): one line, not too long
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MAX_WARNING else line[: _MAX_WARNING - 3] + "..."
