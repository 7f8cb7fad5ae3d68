"""Asks the control plane: HTTP, JSON back, over TCP, a unix socket or kubectl. Standard library only: it is light.

Owns where the control plane is and what can go wrong on the way. Refuses to know what the answers mean
(figures.py, proxies.py). The API: packages/control-plane/README.md.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tulle_cli.cluster.port_forward import PortForward, is_cluster
from tulle_cli.errors import USAGE, CliError

TIMEOUT = 5.0
"""Seconds for connecting, and for each read."""
_LONGEST_SOCKET_PATH = 107
"""sun_path holds 108 bytes, the last of them 0 (unix(7))."""


class Unreachable(CliError):
    """Nobody answers at the control plane's address."""


class Refused(CliError):
    """The control plane answered, with an error. `status` is its HTTP status."""

    def __init__(self, status: int, what: str, why: str, next: str = "") -> None:
        super().__init__(what, why, next)
        self.status = status


class Misunderstood(Refused):
    """Status 400: a parameter that came from the command line is no good."""

    exit_code = USAGE


def lab_state() -> Path:
    """The lab's state directory: $TULLE_LAB_STATE, else $XDG_STATE_HOME/tulle/lab, else ~/.local/state/tulle/lab."""
    given = os.environ.get("TULLE_LAB_STATE")
    if given:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "tulle" / "lab"


def default_target() -> str:
    """Where the control plane is when nobody says: the lab's socket."""
    return f"unix:{lab_state() / 'control-plane.sock'}"


class ApiClient:
    """The control plane at `target`: "http://host:port", "unix:/path", "kubernetes[:CONTEXT]", None: the lab's socket.

    One connection a request: nothing stays open, but a cluster's port-forward.
    """

    def __init__(self, target: str | None = None, timeout: float = TIMEOUT) -> None:
        self.target = target or default_target()
        self.timeout = timeout
        self._forward = PortForward(self.target) if is_cluster(self.target) else None
        bare = self.target.startswith("unix:") or self._forward is not None
        self.prefix = "" if bare else urlsplit(self.target).path.rstrip("/")

    def get(self, path: str, query: Mapping[str, str | None] | None = None) -> Any:
        """The JSON at `path`. Raises Unreachable, or Refused for any status but 200."""
        return self._answer(path, *self.request(path, query))

    def post(self, path: str, given: Any) -> Any:
        """The JSON that answers `given`, sent as JSON. Raises as `get`."""
        return self._answer(path, *self.request(path, given=json.dumps(given, default=str).encode()))

    def _answer(self, path: str, status: int, body: bytes) -> Any:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status == 200 and answer is not None:
            return answer
        detail = answer.get("error") if isinstance(answer, dict) else None
        why = str(detail or f"HTTP status {status}: {body[:200].decode(errors='replace').strip() or 'no body'}")
        if status == 400:
            raise Misunderstood(status, "the control plane does not understand this", why, "--help says what is right")
        raise Refused(status, f"the control plane did not answer {path}", why, "tulle check says how it is")

    def request(
        self, path: str, query: Mapping[str, str | None] | None = None, given: bytes | None = None
    ) -> tuple[int, bytes]:
        """Status and body of a GET, or of a POST of `given`. Raises Unreachable."""
        parameters = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.prefix}{quote(path)}" + (f"?{urlencode(parameters)}" if parameters else "")
        connection = self._connection()
        headers = {"accept": "application/json", **({} if given is None else {"content-type": "application/json"})}
        try:
            connection.request("GET" if given is None else "POST", url, given, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            if self._forward is not None:
                self._forward.close()  # it may live on and lead nowhere; the next request starts another
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._forward is not None:
            return http.client.HTTPConnection("127.0.0.1", self._forward.port(), timeout=self.timeout)
        if self.target.startswith("unix:"):
            return _UnixConnection(self.target.removeprefix("unix:").removeprefix("//"), self.timeout)
        parts = urlsplit(self.target)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CliError(
                f"{self.target!r} is no address of a control plane",
                "expected unix:/path/to/control-plane.sock, http://127.0.0.1:8085 or kubernetes[:CONTEXT]",
                "--control-plane, or the environment variable TULLE_API, says where it is",
            )
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname, parts.port or (443 if parts.scheme == "https" else 8085), timeout=self.timeout)

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, FileNotFoundError):
            why = "there is no such socket: no lab is running"
        elif isinstance(error, ConnectionRefusedError):
            why = "nobody listens there: the control plane has stopped"
        elif isinstance(error, PermissionError):
            why = "the socket belongs to another user"
        elif isinstance(error, TimeoutError):
            why = f"no answer within {self.timeout:g} s"
        else:
            why = f"{type(error).__name__}: {error}"
        return Unreachable(
            f"no control plane answers at {self.target}",
            why,
            "tulle lab up -f FILE starts one; --control-plane URL (or TULLE_API) says where another one is",
        )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over AF_UNIX; a path that does not fit into sun_path is reached through its directory's descriptor."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket. On failure it is closed and OSError goes up."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            if len(os.fsencode(self._path)) <= _LONGEST_SOCKET_PATH:
                sock.connect(self._path)
            else:
                directory, name = os.path.split(self._path)
                descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
                try:
                    sock.connect(f"/proc/self/fd/{descriptor}/{name}")
                finally:
                    os.close(descriptor)
        except OSError:
            sock.close()
            raise
        self.sock = sock
