"""PID 1 of the lab: forks what the daemon asks for, reaps, reports. When either of the two dies, the kernel ends all.

Owns the pods' namespaces (as descriptors: no bind mounts, no pause processes) and the table of children. Knows nothing
of Kubernetes. Single-threaded and without trio, so that forking is cheap and safe; a container's shim is a fork of it.

Requests (daemon to init): sandbox, release, start, signal. Answers: sandbox, started, failed, exited.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from dataclasses import dataclass, field
from typing import Any

from tulle_lab.sandbox import container, spec, syscalls
from tulle_lab.sandbox.spec import ProcessSpec
from tulle_lab.sandbox.syscalls import Clone

_POD_KINDS = (("net", Clone.NEWNET), ("uts", Clone.NEWUTS), ("ipc", Clone.NEWIPC))


@dataclass
class _Child:
    """A process on its way to being executed, or running."""

    id: str
    report: int
    text: bytes = b""
    pid: int = 0
    signals: list[int] = field(default_factory=list)
    """Sent before its pid was known."""


@dataclass
class Init:
    """The loop. `channel`: to the daemon; `daemon`: its pid."""

    channel: socket.socket
    daemon: int
    sandboxes: dict[str, list[tuple[int, Clone]]] = field(default_factory=dict)
    starting: dict[int, _Child] = field(default_factory=dict)  # by report pipe
    running: dict[int, _Child] = field(default_factory=dict)  # by pid
    by_id: dict[str, int] = field(default_factory=dict)
    node: list[tuple[int, Clone]] = field(default_factory=list)

    def serve(self) -> int:
        """Run until the daemon is gone; its exit status."""
        self.node = _own_namespaces()
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(self.daemon, signal.SIGTERM))
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.channel, selectors.EVENT_READ, "channel")
        self.selector.register(wake_r, selectors.EVENT_READ, "wake")
        while True:
            for key, _ in self.selector.select():
                if key.data == "channel":
                    message = spec.receive(self.channel)
                    if message is None:
                        return _wait(self.daemon)
                    self._handle(*message)
                elif key.data == "wake":
                    os.read(wake_r, 4096)
                elif key.fd in self.starting:
                    self._read_report(self.starting[key.fd])
            code = self._reap()
            if code is not None:
                return code

    def _handle(self, request: dict[str, Any], fds: list[int]) -> None:
        match request["op"]:
            case "sandbox":
                self._sandbox(request)
            case "release":
                for fd, _ in self.sandboxes.pop(request["name"], []):
                    os.close(fd)
            case "start":
                self._start(request["id"], ProcessSpec.from_json(request["spec"]), fds)
            case "signal":
                self._signal(request["id"], request["number"], request["group"])
        for fd in fds:
            os.close(fd)

    def _sandbox(self, request: dict[str, Any]) -> None:
        """New namespaces for a pod: enter them, keep descriptors, come back."""
        name = request["name"]
        try:
            syscalls.unshare(Clone.NEWNET | Clone.NEWUTS | Clone.NEWIPC)
            socket.sethostname(request["hostname"])
            for path, value in request["sysctls"].items():
                _sysctl(path, value)
            self.sandboxes[name] = _own_namespaces()
            spec.send(self.channel, {"event": "sandbox", "name": name}, (self.sandboxes[name][0][0],))
        except OSError as error:
            spec.send(self.channel, {"event": "sandbox", "name": name, "error": str(error)})
        finally:
            for fd, kind in self.node:
                syscalls.setns(fd, kind)

    def _start(self, id: str, process: ProcessSpec, stdio: list[int]) -> None:
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        namespaces = self.sandboxes.get(process.sandbox, []) if process.sandbox else []
        if process.sandbox and not namespaces:
            spec.send(
                self.channel, {"event": "failed", "id": id, "code": 126, "error": f"no sandbox {process.sandbox}"}
            )
            os.close(read)
            os.close(write)
            return
        if os.fork() == 0:
            container.start(process, namespaces, stdio, write)
        os.close(write)
        self.starting[read] = _Child(id, read)
        self.selector.register(read, selectors.EVENT_READ, "report")

    def _read_report(self, child: _Child) -> None:
        """First the pid, then an error or nothing; the end of file says that the program runs (or failed)."""
        while True:
            try:
                data = os.read(child.report, 65536)
            except BlockingIOError:
                data = None
            child.text += data or b""
            if not child.pid and b"\n" in child.text:
                line, child.text = child.text.split(b"\n", 1)
                if line.isdigit():
                    child.pid = int(line)
                    self.running[child.pid] = child
                    self.by_id[child.id] = child.pid
                    for number in child.signals:
                        _kill(child.pid, number)
                else:
                    child.text = line + b"\n" + child.text
            if data is None:
                return
            if not data:
                break
        self.selector.unregister(child.report)
        os.close(child.report)
        del self.starting[child.report]
        if child.text or not child.pid:
            self._forget(child)
            _, code, error = (
                child.text.decode(errors="replace").strip() or "error 126 its start was interrupted"
            ).split(" ", 2)
            spec.send(self.channel, {"event": "failed", "id": child.id, "code": int(code), "error": error})
        else:
            spec.send(self.channel, {"event": "started", "id": child.id, "pid": child.pid})

    def _forget(self, child: _Child) -> None:
        self.running.pop(child.pid, None)
        self.by_id.pop(child.id, None)

    def _signal(self, id: str, number: int, group: bool) -> None:
        if pid := self.by_id.get(id):
            _kill(-pid if group else pid, number)
            return
        for child in self.starting.values():
            if child.id == id:  # its pid is not known yet
                child.signals.append(number)

    def _reap(self) -> int | None:
        """Collect the dead; the daemon's status if it is one.

        Each says "started" before "exited", however short it ran: whoever is dead has closed the report pipe, and so
        has the process between us, since only its end made us the parent.
        """
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)  # never without children: the daemon is one
            if pid == 0:
                return None
            if pid == self.daemon:
                return container.exit_code(status)
            for child in list(self.starting.values()):
                self._read_report(child)
            if ended := self.running.pop(pid, None):
                self.by_id.pop(ended.id)
                spec.send(self.channel, {"event": "exited", "id": ended.id, "code": container.exit_code(status)})


def _own_namespaces() -> list[tuple[int, Clone]]:
    return [(os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in _POD_KINDS]


def _wait(pid: int) -> int:
    return container.exit_code(os.waitpid(pid, 0)[1])


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _sysctl(path: str, value: str) -> None:
    try:
        with open(f"/proc/sys/{path}", "w") as file:
            file.write(value)
    except FileNotFoundError:
        pass  # the kernel has no such knob: IPv6 is off
