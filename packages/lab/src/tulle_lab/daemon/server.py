"""The control socket: one request a connection, a JSON object on a line; answers are lines too, the last one final.

    client: {"verb": "get", "kind": "pods"}\\n           (with descriptors 0, 1, 2 attached, for exec)
    server: {"item": ...}\\n ...  then  {"result": ...}\\n  or  {"error": {...}}\\n

Owns connections and errors. A verb that fails unexpectedly is reported, and never ends the lab. When the client goes
away, its verb is cancelled.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import trio

from tulle_lab.daemon.lab import Lab, report
from tulle_lab.errors import LabError

_MAX_REQUEST = 16 * 1024 * 1024
_DRAIN = 2.0
_FULL = 0.1


class Request(dict[str, Any]):
    """What a client asks. What it left out is named."""

    def __missing__(self, name: str) -> Any:
        raise LabError(f"the request does not say {name!r}", "client and lab differ in version", "tulle lab down")


class Connection:
    """One client: its request, its descriptors (closed with the connection), what it sends later."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        self._buffer = b""
        self.fds: list[int] = []

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """What the client sends, until it goes away."""
        while True:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                yield json.loads(line)
            if len(self._buffer) > _MAX_REQUEST:
                raise LabError("the request is too long", f"more than {_MAX_REQUEST} bytes")
            data, ancillary, _, _ = await self._socket.recvmsg(65536, socket.CMSG_SPACE(3 * 4), socket.MSG_CMSG_CLOEXEC)
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                    self.fds += fds
            if not data:
                return
            self._buffer += data

    async def item(self, value: Any) -> None:
        """Send something that is not yet the end."""
        await self._send({"item": value})

    async def end(self, kind: str, value: Any) -> None:
        """Send the end: kind "result" or "error"."""
        await self._send({kind: value})

    async def _send(self, message: dict[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[await self._socket.send(data) :]

    def close(self) -> None:
        """Close the socket and the descriptors that came over it."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        self._socket.close()


class Server:
    """Accepts clients. Run `run` in a nursery."""

    def __init__(self, lab: Lab, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._lab = lab
        self._listener = trio.socket.from_stdlib_socket(listener)
        self._open = 0
        self._idle = trio.Event()

    async def run(self) -> None:
        """Serve for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    sock, _ = await self._listener.accept()
                except OSError:  # out of descriptors: those who are being served will give some back
                    report("a client could not be let in")
                    await trio.sleep(_FULL)
                    continue
                self._open += 1
                nursery.start_soon(self._serve, Connection(sock))

    async def drain(self) -> None:
        """Wait a little for the last answers to be sent."""
        with trio.move_on_after(_DRAIN):
            while self._open:
                self._idle = trio.Event()
                await self._idle.wait()

    async def _serve(self, client: Connection) -> None:
        try:
            lines = client.lines()
            async for request in lines:
                if not isinstance(request, dict):
                    raise ValueError("not a request")
                await self._answer(client, Request(request), lines)
                return
        except (OSError, ValueError):
            pass  # the client is gone, or speaks something else
        except Exception:
            report("a connection failed")
        finally:
            client.close()
            self._open -= 1
            self._idle.set()

    async def _answer(self, client: Connection, request: dict[str, Any], more: AsyncIterator[dict[str, Any]]) -> None:
        from tulle_lab.daemon.verbs import VERBS  # here, since verbs need Connection

        verb = VERBS.get(request.get("verb", ""))
        kind, value = (
            "error",
            LabError(f"unknown verb {request.get('verb')!r}", "client and lab differ in version").to_json(),
        )
        async with trio.open_nursery() as nursery:
            inbox: trio.MemorySendChannel[dict[str, Any]]
            inbox, outbox = trio.open_memory_channel(16)
            nursery.start_soon(self._listen, more, inbox, nursery.cancel_scope)
            if verb is not None:
                try:
                    kind, value = "result", await verb(self._lab, request, client, outbox)
                except LabError as error:
                    kind, value = "error", error.to_json()
                except Exception as error:
                    report(f"verb {request['verb']} failed")
                    why = f"{type(error).__name__}: {error}"
                    kind, value = (
                        "error",
                        LabError("the lab failed to do this", why, f"read {self._lab.state.daemon_log}").to_json(),
                    )
            nursery.cancel_scope.cancel()
        await client.end(kind, value)

    async def _listen(
        self,
        more: AsyncIterator[dict[str, Any]],
        inbox: trio.MemorySendChannel[dict[str, Any]],
        scope: trio.CancelScope,
    ) -> None:
        """Pass on what the client says during the verb; its end cancels the verb."""
        try:
            async for message in more:
                await inbox.send(message)
        except (OSError, ValueError, LabError, trio.BrokenResourceError):
            pass
        scope.cancel()
