"""The daemon's handle on PID 1: make a pod's namespaces, start processes, signal them, wait for them.

Owns the conversation over the channel. One task (`run`) reads answers; everybody else waits for theirs.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import Any

import trio

from tulle_lab.errors import LabError
from tulle_lab.sandbox import spec as messages
from tulle_lab.sandbox.spec import ProcessSpec


class StartFailed(LabError):
    """The program could not be executed."""


@dataclass
class Process:
    """A process that PID 1 runs for us."""

    id: str
    runtime: Runtime
    pid: int = 0
    """As seen in the lab's PID namespace; of the container's shim, for a container."""
    code: int | None = None
    """Exit status, or 128 and a signal's number; None while it runs."""
    error: str = ""
    _started: trio.Event = field(default_factory=trio.Event)
    _ended: trio.Event = field(default_factory=trio.Event)

    async def wait(self) -> int:
        """Wait for the end; the exit status. Cancelling the wait leaves the process running."""
        await self._ended.wait()
        assert self.code is not None
        return self.code

    async def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal, to the whole process group on request. Nothing happens when it has ended."""
        if self.code is None:
            await self.runtime._send({"op": "signal", "id": self.id, "number": int(number), "group": group})

    async def kill(self, *, group: bool = False) -> int:
        """SIGKILL, and wait for the end."""
        with trio.CancelScope(shield=True):
            await self.signal(signal.SIGKILL, group=group)
            await self._ended.wait()
        return await self.wait()


@dataclass
class _Sandbox:
    made: trio.Event = field(default_factory=trio.Event)
    netns: int = -1
    error: str = ""


class Runtime:
    """What PID 1 offers. Run `run` in a nursery before calling anything else."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._lock = trio.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[str, Process] = {}
        self._sandboxes: dict[str, _Sandbox] = {}

    async def run(self) -> None:
        """Read PID 1's messages for ever. Ends when PID 1 closes the channel (it never does while we live)."""
        while True:
            await trio.lowlevel.wait_readable(self._channel)
            received = messages.receive(self._channel)
            if received is None:
                return
            self._handle(*received)

    def _handle(self, message: dict[str, Any], fds: list[int]) -> None:
        if message["event"] == "sandbox":
            sandbox = self._sandboxes[message["name"]]
            sandbox.netns, sandbox.error = (fds[0] if fds else -1), message.get("error", "")
            sandbox.made.set()
            return
        process = self._processes.get(message["id"])
        if process is None:
            return  # it has ended; nobody waits any more
        match message["event"]:
            case "started":
                process.pid = message["pid"]
            case "failed":
                process.error, process.code = message["error"], message["code"]
            case "exited":
                process.code = message["code"]
        process._started.set()
        if process.code is not None:
            process._ended.set()
            del self._processes[process.id]

    async def _send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        async with self._lock:
            while True:
                try:
                    messages.send(self._channel, message, fds)
                    return
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._channel)

    async def sandbox(self, name: str, hostname: str, sysctls: dict[str, str]) -> int:
        """Make a pod's network, UTS and IPC namespaces; a descriptor of the network one (ours to close)."""
        sandbox = self._sandboxes[name] = _Sandbox()
        await self._send({"op": "sandbox", "name": name, "hostname": hostname, "sysctls": sysctls})
        with trio.CancelScope(shield=True):  # an answer always comes; without us its descriptor would leak
            await sandbox.made.wait()
        del self._sandboxes[name]
        if sandbox.error:
            raise LabError(f"the namespaces of pod {name} could not be made", sandbox.error, "tulle check --pre")
        return sandbox.netns

    async def release(self, name: str) -> None:
        """Let go of a pod's namespaces: they end with their last process."""
        with trio.CancelScope(shield=True):
            await self._send({"op": "release", "name": name})

    async def start(self, process_spec: ProcessSpec, stdin: int, stdout: int, stderr: int) -> Process:
        """Start a process; it has been executed when this returns. Raises StartFailed with the reason.

        The descriptors stay the caller's to close. A cancelled start kills what it started.
        """
        process = Process(str(next(self._numbers)), self)
        self._processes[process.id] = process
        request = {"op": "start", "id": process.id, "spec": process_spec.to_json()}
        try:
            await self._send(request, (stdin, stdout, stderr))
        except OSError as error:
            del self._processes[process.id]
            raise StartFailed(
                f"{process_spec.argv[0]} could not be started", f"its arguments are too long ({error})"
            ) from error
        try:
            await process._started.wait()
        except trio.Cancelled:
            await process.kill()
            raise
        if process.error:
            raise StartFailed(process.error, code=process.code or 0)
        return process

    async def output(self, process_spec: ProcessSpec, limit: int = 65536) -> tuple[int, bytes]:
        """Run a process to its end; exit status and the first `limit` bytes of its output (both streams together)."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            process = await self.start(process_spec, null, write, write)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
            os.close(null)
        try:
            async with trio.lowlevel.FdStream(read) as stream:
                text = bytearray()
                async for chunk in stream:
                    text += chunk[: max(0, limit - len(text))]
            return await process.wait(), bytes(text)
        except trio.Cancelled:
            await process.kill(group=True)
            raise
