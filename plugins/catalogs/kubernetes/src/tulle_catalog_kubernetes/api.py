"""The API server, through the official client: a GET as JSON or as a stream of bytes, a write. The thin shell.

Owns how the client is made (kubeconfig, or a pod's own service account), and what its failures amount to. Not used:
the client's models, its Watch and its informers (RATIONALE.md says why).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import urllib3
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)

VARIABLE = "TULLE_KUBECONFIG"
CONTEXT = "TULLE_KUBE_CONTEXT"
CONNECT_SECONDS = 10.0
LIST_SECONDS = 60.0
WRITE_SECONDS = 10.0
SLACK_SECONDS = 30.0
"""A watch that its server was asked to end, and that goes on for so long after that, is given up."""

_load_file: Any = kubernetes_config.load_kube_config  # the client has no types here
_PodConfig: Any = InClusterConfigLoader


class ApiFailure(Exception):
    """A request failed. `status` is HTTP's, 0 where there was no answer; `retry_after` in seconds, 0 where unsaid."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def configuration(environment: Mapping[str, str]) -> Configuration:
    """The client's configuration. Raises ValueError that says what would be right."""
    made = Configuration()
    made.retries = False  # waiting and trying again is course.py's
    # a peer that is gone without a word is found in half a minute, and not when the watch's time is over
    made.socket_options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ]
    path = environment.get(VARIABLE, "")
    try:
        if path:
            context = environment.get(CONTEXT) or None
            _load_file(os.path.expanduser(path), context, made, persist_config=False)
        elif environment.get("KUBERNETES_SERVICE_HOST"):
            _PodConfig(SERVICE_TOKEN_FILENAME, SERVICE_CERT_FILENAME, environ=environment).load_and_set(made)
        else:
            raise ValueError(
                f"{VARIABLE} is not set, and this is no pod (KUBERNETES_SERVICE_HOST is not set either); "
                f"name a kubeconfig, such as {VARIABLE}=~/.kube/config"
            )
    except kubernetes_config.ConfigException as error:
        raise ValueError(f"{VARIABLE}={path!r}: {error}" if path else f"the pod's service account: {error}") from None
    return made


class Api:
    """Requests. `close` may be called from another thread: what is being read ends, and nothing new begins."""

    def __init__(self, made: Configuration) -> None:
        self._client = ApiClient(made)
        self._lock = threading.Lock()
        self._open: set[urllib3.HTTPResponse] = set()
        self._closed = False

    def close(self) -> None:
        """Cut off what is being read, in whichever thread."""
        with self._lock:
            self._closed = True
            streams = list(self._open)
        for stream in streams:
            try:
                stream.shutdown()
            except (OSError, ValueError, RuntimeError):
                pass  # it ended meanwhile

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A JSON object. Raises ApiFailure."""
        return _object(b"".join(self.stream(path, query, LIST_SECONDS)))

    def send(self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
        """POST or PUT an object, or PATCH: server-side apply. Returns what it came to. Raises ApiFailure."""
        if method == "PATCH":
            kind, data = "application/apply-patch+yaml", msgspec.json.encode(body).decode()  # JSON is YAML, too
            return _object(b"".join(self._request(method, path, query, WRITE_SECONDS, kind, data)))
        return _object(b"".join(self._request(method, path, query, WRITE_SECONDS, "application/json", dict(body))))

    def stream(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[bytes]:
        """An answer's body as it comes, each wait at most `seconds`. Raises ApiFailure; closed when left."""
        return self._request("GET", path, query, seconds)

    def _request(
        self, method: str, path: str, query: Mapping[str, str], seconds: float, kind: str = "", body: object = None
    ) -> Iterator[bytes]:
        sent = {"Accept": "application/json"} | ({"Content-Type": kind} if kind else {})
        method, url, headers, data, _ = self._client.param_serialize(
            method, path, query_params=list(query.items()), header_params=sent, body=body,
            auth_settings=["BearerToken"],
        )  # fmt: skip
        response: urllib3.HTTPResponse | None = None
        try:
            answer = self._client.call_api(method, url, headers, data, _request_timeout=(CONNECT_SECONDS, seconds))
            response = answer.response
            self._enter(response)
            if response.status not in (200, 201):
                raise _failure(response)
            while chunk := response.read1(256 * 1024):
                yield chunk
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise ApiFailure(0, f"{type(error).__name__}: {error}") from None
        finally:
            if response is not None:
                with self._lock:
                    self._open.discard(response)
                response.close()

    def _enter(self, response: urllib3.HTTPResponse) -> None:
        with self._lock:
            if self._closed:
                raise ApiFailure(0, "closed")
            self._open.add(response)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ApiFailure(0, f"the answer is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ApiFailure(0, "the answer is not a JSON object")
    return document


def _failure(response: urllib3.HTTPResponse) -> ApiFailure:
    """What an answer other than 200 and 201 says: a Status object, or anything else."""
    body = response.read(64 * 1024) or b""
    try:
        message = str(msgspec.json.decode(body)["message"])
    except (msgspec.MsgspecError, LookupError, TypeError):
        message = body[:200].decode("utf-8", "replace").strip() or str(response.reason)
    after = response.headers.get("Retry-After", "")
    return ApiFailure(response.status, message, float(after) if after.isdecimal() else 0.0)
