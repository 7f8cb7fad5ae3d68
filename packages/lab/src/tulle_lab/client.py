"""The commands' side of the control socket: one request, its items, its result. Standard library only.

A fast start matters here.

Owns the conversation (daemon/server.py describes it). Use from other programs too:

    >>> from tulle_lab.client import Client
    >>> Client.default().ask("get", {"kind": "pods", "namespace": "default"})["groups"][0]["items"]  # doctest: +SKIP
"""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tulle_lab.errors import LabError
from tulle_lab.state import StateFolder, default_path, short_address


class NoLab(LabError):
    """No lab runs in that state folder."""


class Client:
    """Talks to the lab in `state`."""

    def __init__(self, state: StateFolder) -> None:
        self.state = state

    @classmethod
    def default(cls, path: Path | None = None) -> Client:
        """The lab in `path`, else where TULLE_LAB_STATE or XDG_STATE_HOME say."""
        return cls(StateFolder(path.absolute() if path else default_path()))

    def ask(self, verb: str, request: Mapping[str, Any], each: Callable[[Any], None] | None = None) -> Any:
        """Ask, give every item to `each`, and return the result. Raises LabError (NoLab when none runs)."""
        with self.open(verb, request) as call:
            for item in call.items():
                if each:
                    each(item)
            return call.result

    def open(self, verb: str, request: Mapping[str, Any], fds: tuple[int, ...] = ()) -> Call:
        """Ask and return the call, whose items are still to be read. `fds` go along (for exec)."""
        sock = self._connect()
        data = json.dumps({"verb": verb, **request}).encode() + b"\n"
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = sock.sendmsg([data], ancillary)
            if sent < len(data):
                sock.sendall(data[sent:])
        except OSError as error:
            sock.close()
            raise _died(self.state) from error
        return Call(sock, self.state)

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_address(self.state.socket) as address:
                sock.connect(address)
        except OSError as error:
            sock.close()
            if self.state.is_running():
                why = "it is just starting or ending" if isinstance(error, FileNotFoundError) else str(error)
                fix = f"wait a moment and ask again; else read {self.state.daemon_log}"
                raise LabError("the lab runs, but does not answer", why, fix) from error
            raise NoLab(f"no lab is running in {self.state.path}", fix="tulle lab up") from error
        return sock


class Call:
    """A request under way. A context manager: leaving it hangs up, which cancels what is not done."""

    def __init__(self, sock: socket.socket, state: StateFolder) -> None:
        self._socket, self._state = sock, state
        self.result: Any = None

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, **message: Any) -> None:
        """Say something during the call (a signal for exec)."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def items(self) -> Iterator[Any]:
        """Everything before the result, which is in `result` afterwards. Raises LabError."""
        with self._socket.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "item" in message:
                    yield message["item"]
                elif "error" in message:
                    raise LabError.from_json(message["error"])
                else:
                    self.result = message["result"]
                    return
        raise _died(self._state)


def _died(state: StateFolder) -> LabError:
    return LabError("the lab ended while it was asked", fix=f"read {state.daemon_log}, then: tulle lab up")
