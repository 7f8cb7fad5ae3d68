"""The API server as a pod sees it: JSON in, JSON out, with the standard library. Blocking; used from threads.

Owns address, token and trust. The official client would cost this program a second at its start and 35 MB; it needs a
GET, a PATCH and one watch.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 10.0


class ApiError(Exception):
    """The API server refused, or could not be asked. `status` is HTTP's, 0 where there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiServer:
    """Made from a pod's environment. The token is read for each request: kubelet renews it."""

    def __init__(self, host: str, port: int, token_file: Path, ca_file: Path | None) -> None:
        """`ca_file` None: plain HTTP, for tests."""
        self.host, self.port, self.token_file, self.ca_file = host, port, token_file, ca_file

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ApiServer:
        """Raises ValueError where this is no pod."""
        host = environment.get("KUBERNETES_SERVICE_HOST", "")
        if not host:
            raise ValueError("this is no pod: KUBERNETES_SERVICE_HOST is not set")
        return cls(host, int(environment.get("KUBERNETES_SERVICE_PORT", "443")), ACCOUNT / "token", ACCOUNT / "ca.crt")

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The answer's JSON. Raises ApiError."""
        connection = self._connection(SECONDS)
        try:
            answer = self._send(connection, method, path, body, content_type)
            return json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiError(0, f"{self.host}:{self.port}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()

    def lines(self, path: str, seconds: float) -> Iterator[Any]:
        """A watch's events, each wait at most `seconds`. Raises ApiError; ends when the stream does."""
        connection = self._connection(seconds)
        try:
            answer = self._send(connection, "GET", path, None, "")
            while line := answer.readline():
                yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiError(0, f"{self.host}:{self.port}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self.ca_file is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
        except OSError as error:
            raise ApiError(0, f"{self.ca_file}: {error}") from None
        return http.client.HTTPSConnection(self.host, self.port, timeout=seconds, context=context)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any, content_type: str
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self.token_file.read_text().strip()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            text = answer.read(65536)
            try:
                message = str(json.loads(text)["message"])
            except (ValueError, LookupError, TypeError):
                message = text[:200].decode("utf-8", "replace")
            raise ApiError(answer.status, f"{method} {path}: {answer.status}: {message}")
        return answer
