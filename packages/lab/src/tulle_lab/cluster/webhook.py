"""Calls Tulle's admission webhook as an API server would: AdmissionReview v1 over TLS, and a failurePolicy.

Owns the call and what its failure means. Which objects are sent is decided here too (the namespaceSelector of a
MutatingWebhookConfiguration); what to do with the answer is admission.py's business.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import uuid
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tulle_lab.cluster.endpoints import LABEL
from tulle_lab.cluster.objects import Object, annotations_of, labels_of
from tulle_lab.cluster.store import Store
from tulle_lab.kinds.registry import KINDS

SYSTEM_NAMESPACES = ("kube-system", "tulle-system")
SERVICE = "tulle-admission-controller"
SERVER_NAME = f"{SERVICE}.tulle-system.svc"
TIMEOUT = 5.0
INJECT = "tulle.dev/inject"
FAIL_LABEL = "tulle.dev/admission"


class Unreachable(Exception):
    """The webhook did not answer as a webhook does; the reason."""


class Denied(Exception):
    """The webhook refused the object; its message."""


@dataclass(frozen=True)
class Answer:
    """What the webhook said."""

    patch: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def fails_closed(namespace: Object | None) -> bool:
    """failurePolicy Fail, which a namespace asks for by label; otherwise Ignore."""
    return namespace is not None and labels_of(namespace).get(FAIL_LABEL) == "fail"


def wants_injection(pod: Object, namespace: Object | None) -> bool:
    """The selectors: `tulle.dev/inject: enabled` on the namespace or the pod; never in system namespaces."""
    if namespace is None or namespace["metadata"]["name"] in SYSTEM_NAMESPACES:
        return False
    return "enabled" in (
        labels_of(namespace).get(INJECT),
        labels_of(pod).get(INJECT),
        annotations_of(pod).get(INJECT),
    )


def review(obj: Object, old: Object | None = None) -> Object:
    """An AdmissionReview (admission.k8s.io/v1) that asks about `obj`."""
    group, _, version = obj["apiVersion"].rpartition("/")
    kind = {"group": group, "version": version, "kind": obj["kind"]}
    resource = {"group": group, "version": version, "resource": KINDS[obj["kind"]].plural}
    request: Object = {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": obj["metadata"].get("name", ""),
        "namespace": obj["metadata"].get("namespace", ""),
        "operation": "UPDATE" if old else "CREATE",
        "userInfo": {"username": "system:admin", "groups": ["system:masters", "system:authenticated"]},
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions" if old else "CreateOptions"},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def read_answer(asked: Object, answer: Any) -> Answer:
    """The response's patch and warnings. Raises Denied, or Unreachable for what is no AdmissionReview for `asked`."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict) or response.get("uid") != asked["request"]["uid"]:
        raise Unreachable("its answer is not an AdmissionReview for our request")
    if not response.get("allowed"):
        status = response.get("status") or {}
        raise Denied(status.get("message") or "it gives no reason")
    patch: list[Any] = []
    if response.get("patch"):
        if response.get("patchType") != "JSONPatch":
            raise Unreachable(f"its patchType is {response.get('patchType')!r}, not JSONPatch")
        try:
            patch = json.loads(b64decode(response["patch"]))
        except ValueError as error:
            raise Unreachable(f"its patch cannot be read: {error}") from error
    return Answer(patch, list(response.get("warnings") or []))


class Webhook:
    """The admission controller that runs in the lab. `ca_bundle`: the file with its certificate authority."""

    def __init__(self, store: Store, ca_bundle: Path) -> None:
        self._store = store
        self._ca_bundle = ca_bundle

    @property
    def is_installed(self) -> bool:
        """Whether the lab has an admission controller at all (not with `up --no-system`)."""
        return self._store.get("Service", SYSTEM_NAMESPACES[1], SERVICE) is not None

    async def call(self, path: str, obj: Object, old: Object | None = None) -> Answer:
        """Ask `/mutate` or `/validate` about an object. Raises Denied or Unreachable."""
        asked = review(obj, old)
        address = self._address()
        with trio.move_on_after(TIMEOUT):
            answer = await trio.to_thread.run_sync(self._post, address, path, asked, abandon_on_cancel=True)
            return read_answer(asked, answer)
        raise Unreachable(f"no answer in {TIMEOUT:g} s")

    def _address(self) -> tuple[str, int]:
        """A ready endpoint of the webhook's Service."""
        for piece in self._store.list("EndpointSlice", SYSTEM_NAMESPACES[1], {"matchLabels": {LABEL: SERVICE}}):
            for endpoint in piece["endpoints"]:
                if endpoint["conditions"]["ready"] and piece["ports"]:
                    return endpoint["addresses"][0], piece["ports"][0]["port"]
        raise Unreachable("no pod of it is ready")

    def _post(self, address: tuple[str, int], path: str, asked: Object) -> Any:
        """One request, in a thread: the standard library's client and TLS, as any API server's are somebody's."""
        try:
            context = ssl.create_default_context(cafile=str(self._ca_bundle))
            connection = _Connection(address, context)
            try:
                connection.request("POST", path, json.dumps(asked), {"Content-Type": "application/json"})
                response = connection.getresponse()
                body = response.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        if response.status != 200:
            raise Unreachable(f"it answered {response.status} {response.reason}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise Unreachable(f"its answer is not JSON: {error}") from error


class _Connection(http.client.HTTPSConnection):
    """To a pod's address, while the certificate must be for the Service's name."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(SERVER_NAME, timeout=TIMEOUT, context=context)  # else it reads all of the system's CAs
        self._address, self._tls = address, context

    def connect(self) -> None:
        """Called by http.client when it needs the connection."""
        plain = socket.create_connection(self._address, TIMEOUT)
        self.sock = self._tls.wrap_socket(plain, server_hostname=SERVER_NAME)
