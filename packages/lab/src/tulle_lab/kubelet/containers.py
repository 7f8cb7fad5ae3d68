"""One container's life: start, probes, restarts, stop; and `renew`, for who has changed what its program is made of.

Owns the process and the container's state. Refuses to know the other containers of the pod (pods.py orders them).
On cancel the process is killed and waited for: no task of ours ends before what it started has ended.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError
from tulle_lab.kubelet import probes
from tulle_lab.kubelet.backoff import Backoff
from tulle_lab.kubelet.environment import MissingConfig
from tulle_lab.kubelet.identity import BadIdentity
from tulle_lab.kubelet.images import NoSuchImage
from tulle_lab.kubelet.running import Running, Surroundings
from tulle_lab.kubelet.status import ContainerState, Role
from tulle_lab.sandbox.runtime import StartFailed
from tulle_lab.sandbox.spec import ProcessSpec

_MISSING = 128
"""Exit status that stands for "could not be started", as kubelet reports it."""

_RETRY = 1.0
"""Seconds until the next try when what a container needs (a program, a ConfigMap) is not there."""


@dataclass
class Container:
    """A container of a running pod."""

    manifest: Object
    state: ContainerState
    around: Surroundings
    running: Running | None = None
    """The process, while there is one."""
    stopping: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    begun: bool = False
    started: trio.Event = field(default_factory=trio.Event)
    """It has started once: for a sidecar, the next init container may go on."""
    _backoff: Backoff = field(default_factory=Backoff)
    _renewed: trio.Event | None = None
    """Set once the run that `renew` asked for is on its way; None while nobody has asked."""
    _hurry: trio.Event = field(default_factory=trio.Event)
    """Ends a pause: somebody asked to stop, or to renew."""

    @property
    def name(self) -> str:
        """The container's name."""
        return self.state.name

    async def supervise(self, restart_policy: str) -> int:
        """Run until it is over, restarting as `restart_policy` says; the last exit status. Sets `over`."""
        self.begun = True
        code = 0
        try:
            while not self.stopping.is_set():
                began = trio.current_time()
                code = await self._run()
                if self._renewed is not None and not self.stopping.is_set():
                    self._forget()
                    continue
                done = restart_policy == "Never" or (restart_policy == "OnFailure" and code == 0)
                if done or self.stopping.is_set():
                    return code
                if "waiting" in self.state.state:
                    await self._pause(_RETRY)
                else:
                    await self._pause(self._backoff.delay(trio.current_time() - began))
                    self.state.restarts += 1
                if self._renewed is not None and not self.stopping.is_set():
                    self._forget()
            return code
        finally:
            self.over.set()
            if self._renewed is not None:
                self._renewed.set()

    def _forget(self) -> None:
        """The next run is the first one: no restarts, no back-off, no logs of what ran before."""
        assert self._renewed is not None
        self.state.restarts, self.state.last, self._backoff = 0, {}, Backoff()
        shutil.rmtree(self.around.logs / self.name, ignore_errors=True)
        self.around.changed()
        self._renewed.set()
        self._renewed, self._hurry = None, trio.Event()

    async def _pause(self, delay: float) -> None:
        if delay and "terminated" in self.state.state:
            message = f"back-off {delay:g}s restarting failed container {self.name}"
            self.state.wait("CrashLoopBackOff", message)
            self.around.note("Warning", "BackOff", message)
            self.around.changed()
        with trio.move_on_after(delay):
            await self._hurry.wait()

    async def _run(self) -> int:
        """One run, from start to end; its exit status."""
        try:
            running = await self._start()
        except (MissingConfig, BadIdentity) as error:
            return self._not_started("CreateContainerConfigError", error)
        except NoSuchImage as error:
            return self._not_started("ErrImagePull", error)
        except StartFailed as error:
            self.state.terminate(_MISSING, self.around.clock(), "StartError", str(error))
            self.around.note("Warning", "Failed", f"{self.name}: {error}")
            self.around.changed()
            return _MISSING
        self.running, process = running, running.process
        self.state.run(self.around.clock(), f"tulle://{process.pid}")
        self.around.note("Normal", "Started", f"started container {self.name}")
        self.around.changed()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._attend)
                if self.stopping.is_set() or self._renewed is not None:  # asked while the program was on its way
                    await process.kill()
                code = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            if process.code is None:
                await process.kill()
            self.running = None
        self.state.terminate(code, self.around.clock())
        self.around.changed()
        return code

    def _not_started(self, reason: str, error: LabError) -> int:
        self.state.wait(reason, str(error))
        self.around.note("Warning", "Failed", f"{self.name}: {error}")
        self.around.changed()
        return _MISSING

    async def _start(self) -> Running:
        around, spec = self.around, self.around.spec(self.manifest)
        path = around.logs / self.name / f"{self.state.restarts}.log"
        try:
            log = _open_log(path, spec)
        except OSError as error:
            raise StartFailed(f"the log {path} of container {self.name}", str(error)) from error
        try:
            process = await around.runtime.start(spec, around.null, log, log)
        finally:
            os.close(log)
        return Running(self.manifest, spec, process, around)

    # --- probes and hooks -----------------------------------------------------------------------------------

    async def _attend(self) -> None:
        """From running to started to ready, and whether it still lives."""
        running = self.running
        assert running is not None
        if hook := (self.manifest.get("lifecycle") or {}).get("postStart"):
            await running.hook(hook)
        if probe := self.manifest.get("startupProbe"):
            passed = trio.Event()
            async with trio.open_nursery() as nursery:

                async def decide(well: bool, why: str) -> None:
                    if well:
                        passed.set()
                    else:
                        await self._kill_for("Startup", probe, why)

                nursery.start_soon(probes.watch, probe, running.question(probe), decide, running.could_answer(probe))
                await passed.wait()
                nursery.cancel_scope.cancel()
        self.state.started = True
        self.started.set()
        readiness = self.manifest.get("readinessProbe")
        if not readiness:
            self.state.ready = True
        self.around.changed()
        async with trio.open_nursery() as nursery:
            if readiness:
                ask, could = running.question(readiness), running.could_answer(readiness)
                nursery.start_soon(probes.watch, readiness, ask, self._decide_ready, could)
            if liveness := self.manifest.get("livenessProbe"):

                async def decide_alive(well: bool, why: str) -> None:
                    if not well:
                        await self._kill_for("Liveness", liveness, why)

                nursery.start_soon(probes.watch, liveness, running.question(liveness), decide_alive)

    async def _decide_ready(self, well: bool, why: str) -> None:
        if well != self.state.ready:
            self.state.ready = well
            if not well:
                self.around.note("Warning", "Unhealthy", f"{self.name}: Readiness probe failed: {why}")
            self.around.changed()

    async def _kill_for(self, which: str, probe: Object, why: str) -> None:
        self.around.note(
            "Warning", "Unhealthy", f"{self.name}: {which} probe failed: {why}; the container is restarted"
        )
        grace = probe.get("terminationGracePeriodSeconds", self.around.grace)
        await self._end(trio.current_time() + grace)

    # --- beginning anew -------------------------------------------------------------------------------------

    async def renew(self) -> bool:
        """Kill the program and run it again at once, as if for the first time. Returns when the old one has ended and
        the state says so; False, and nothing, when it has not begun yet or is over.

        The pod keeps its addresses, rules and volumes, and its other containers go on: a pod made anew costs ten times
        as much. On Kubernetes one would delete the pod.
        """
        if not self.begun or self.over.is_set():
            return False
        if self._renewed is None:
            self._renewed = trio.Event()
        renewed = self._renewed
        self._hurry.set()
        if self.running is not None:
            await self.running.process.kill()
        await renewed.wait()
        return True

    # --- stopping -------------------------------------------------------------------------------------------

    async def stop(self, deadline: float) -> None:
        """preStop hook, SIGTERM, and SIGKILL at `deadline` (trio's clock); returns when it is over for good."""
        self.stopping.set()
        self._hurry.set()
        if not self.begun:
            self.over.set()
        if self.running is not None:
            if hook := (self.manifest.get("lifecycle") or {}).get("preStop"):
                with trio.CancelScope(deadline=deadline):
                    await self.running.hook(hook)
            await self._end(deadline)
        await self.over.wait()

    async def _end(self, deadline: float) -> None:
        if self.running is None:
            return
        process = self.running.process
        await process.signal(signal.SIGTERM)
        with trio.CancelScope(deadline=deadline):
            await process.wait()
            return
        await process.kill()


def _open_log(path: Path, spec: ProcessSpec) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    os.fchown(log, spec.user, spec.group)  # so that the program may open /dev/stdout by that name
    return log


def make(manifest: Object, role: Role, around: Surroundings) -> Container:
    """A container that has not run yet."""
    return Container(manifest, ContainerState(manifest["name"], manifest.get("image", ""), role), around)
