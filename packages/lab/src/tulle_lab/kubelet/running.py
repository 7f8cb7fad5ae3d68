"""A container that runs, as those see it who want something of it: probes, hooks, `exec`.

Owns how each question is put. Refuses to know what follows from the answers (containers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError
from tulle_lab.kubelet import probes
from tulle_lab.kubelet.listening import listens
from tulle_lab.kubelet.probes import Result
from tulle_lab.sandbox.runtime import Process, Runtime
from tulle_lab.sandbox.spec import ProcessSpec

_SAID = 4096
"""Bytes of a probe command's output that are looked at."""


@dataclass
class Surroundings:
    """What the pod gives its containers. `spec(container)` may raise MissingConfig, NoSuchImage, BadIdentity."""

    runtime: Runtime
    spec: Callable[[Object], ProcessSpec]
    address: str
    logs: Path
    grace: float
    changed: Callable[[], None]
    """Call after every change of a state."""
    note: Callable[[str, str, str], None]
    """(Normal or Warning, reason, message)"""
    clock: Callable[[], float]
    null: int


@dataclass(frozen=True)
class Running:
    """One run of a container: its process, and how that was started."""

    manifest: Object
    spec: ProcessSpec
    process: Process
    around: Surroundings

    def exec_spec(self, argv: tuple[str, ...], *, terminal: bool = False) -> ProcessSpec:
        """How to run `argv` beside the program: in its namespaces, as its user, with its variables."""
        return replace(
            self.spec,
            name="exec",
            argv=argv,
            join=self.process.pid,
            terminal=terminal,
            sandbox="",
            mounts=(),
            hidden=(),
        )

    def question(self, probe: Object) -> probes.Ask:
        """What the probe asks."""

        async def ask() -> Result:
            if get := probe.get("httpGet"):
                return await self._http(get)
            if tcp := probe.get("tcpSocket"):
                port = probes.port_number(tcp["port"], self.manifest)
                return await probes.tcp_socket(tcp.get("host") or self.around.address, port)
            return await self._command(probe["exec"]["command"])

        return ask

    def could_answer(self, probe: Object) -> Callable[[], bool]:
        """Whether asking now makes sense: somebody listens on the probe's port."""
        target = probe.get("httpGet") or probe.get("tcpSocket")
        if not target:
            return lambda: True
        port = probes.port_number(target["port"], self.manifest)
        return lambda: listens(self.process.pid, port)

    async def hook(self, hook: Object) -> None:
        """A lifecycle hook. Its failure is noted, and otherwise ignored."""
        result = Result(True)
        if sleep := hook.get("sleep"):
            await trio.sleep(sleep["seconds"])
        elif get := hook.get("httpGet"):
            result = await self._http(get)
        elif command := hook.get("exec"):
            result = await self._command(command["command"])
        if not result.ok:
            self.around.note("Warning", "FailedHook", f"{self.manifest['name']}: {result.why}")

    async def _http(self, get: Object) -> Result:
        return await probes.http_get(self.around.address, probes.port_number(get["port"], self.manifest), get)

    async def _command(self, command: list[str]) -> Result:
        try:
            code, text = await self.around.runtime.output(self.exec_spec(tuple(command)), _SAID)
        except LabError as error:
            return Result(False, str(error))
        return Result(code == 0, f"{command[0]} exited with {code}: {text.decode(errors='replace').strip()[-200:]}")
