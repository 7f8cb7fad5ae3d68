"""One pod's life, from its addresses to its end: the order of containers, and what becomes of them.

Owns the pod's namespaces, link, volumes and containers. Everything is given back when `run` ends, however it ends.

    sandbox -> init containers one by one (a sidecar only has to start) -> app containers together
    deletion: Services forget the pod -> app containers stop -> sidecars stop, last started first -> object removed
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import trio

from tulle_lab.cluster.objects import Key, Object, is_terminating, key_of
from tulle_lab.errors import LabError
from tulle_lab.kubelet import containers, identity
from tulle_lab.kubelet.containers import Container
from tulle_lab.kubelet.context import Context
from tulle_lab.kubelet.process_spec import process_spec
from tulle_lab.kubelet.running import Surroundings
from tulle_lab.kubelet.status import Role, pod_status, role_of
from tulle_lab.kubelet.volume_keeper import VolumeKeeper
from tulle_lab.network import links

_SETTLE = 2.0
"""Longest wait, in seconds, for the rules of Services before a pod is stopped."""

_RETRY = 1.0
"""Seconds until the next try to make the pod's network."""

_SIDECAR_GRACE = 2.0
"""Seconds that sidecars have at least, though the app used up the pod's grace period (as kubelet has it)."""


class Pod:
    """The task of one Pod object."""

    def __init__(self, context: Context, pod: Object) -> None:
        self.context = context
        self.manifest = pod
        self.key: Key = key_of(pod)
        self.uid: str = pod["metadata"]["uid"]
        self.deletion = trio.Event()
        self.containers: dict[str, Container] = {}
        self._addresses: tuple[str, ...] = ()
        self._finished = trio.Event()
        self._volumes = VolumeKeeper(context, pod, context.volumes / self.uid)

    @property
    def logs(self) -> Path:
        """Folder of the containers' logs."""
        return self.context.logs / self.key.namespace / self.key.name

    async def run(self) -> None:
        """Live until the object's deletion was asked for and carried out. Never raises but Cancelled."""
        try:
            if is_terminating(self.manifest):
                self.deletion.set()
            else:
                await self._live_guarded()
                await self.deletion.wait()
        finally:
            shutil.rmtree(self.context.volumes / self.uid, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.logs.parent.rmdir()
        self.context.store.delete(self.key)

    async def _live_guarded(self) -> None:
        """A fault of the lab itself ends this pod, not all."""
        try:
            await self._live()
        except Exception as error:
            self.context.report(f"pod {self.key} failed")
            self.context.events.warning(self.key, "LabFault", f"{type(error).__name__}: {error}; see daemon.log")

    async def _live(self) -> None:
        """Until the pod's work is done or it is deleted; tries again when the network cannot be set up."""
        while not self.deletion.is_set():
            try:
                async with self._sandbox():
                    await self._with_containers()
                return
            except LabError as error:
                self.context.events.warning(self.key, "FailedCreatePodSandBox", str(error))
            with trio.move_on_after(_RETRY):
                await self.deletion.wait()

    async def _with_containers(self) -> None:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            around = self._surroundings(null)
            self.containers = {m["name"]: containers.make(m, role, around) for m, role in self._manifests()}
            self._publish()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._start_all, nursery)
                nursery.start_soon(self._wait_finished)
                await _either(self.deletion, self._finished)
                if not self._finished.is_set():
                    await self._stop()
                nursery.cancel_scope.cancel()
        finally:
            os.close(null)
        self._publish()

    # --- network --------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[None]:
        """Namespaces, a link and addresses for as long as the context lasts."""
        context, pair = self.context, self.context.addresses.take()
        try:
            sysctls = dict(links.POD_SYSCTLS)
            for wanted in (self.manifest["spec"].get("securityContext") or {}).get("sysctls") or []:
                sysctls[wanted["name"].replace(".", "/")] = wanted["value"]
            netns = await context.runtime.sandbox(self.uid, identity.hostname(self.manifest), sysctls)
            try:
                path, name = f"/proc/{os.getpid()}/fd/{netns}", links.link_name(self.uid)
                await links.apply(links.pod_node_batch(name, path, pair, context.ipv6))
                await links.apply(links.pod_batch(pair, context.ipv6), netns)
            finally:
                os.close(netns)
            self._addresses = pair if context.ipv6 else pair[:1]
            yield
        finally:
            await context.runtime.release(self.uid)
            context.addresses.release(pair[0])

    # --- containers -----------------------------------------------------------------------------------------

    async def _start_all(self, nursery: trio.Nursery) -> None:
        """Init containers in order, then the others."""
        spec = self.manifest["spec"]
        await nursery.start(self._volumes.run)
        for container in self._with_role(Role.INIT, Role.SIDECAR):
            if container.state.role is Role.SIDECAR:
                nursery.start_soon(container.supervise, "Always")
                await container.started.wait()
                continue
            policy = "OnFailure" if spec["restartPolicy"] != "Never" else "Never"
            if await container.supervise(policy) != 0 or self.deletion.is_set():
                return
        for container in self._with_role(Role.APP):
            nursery.start_soon(container.supervise, spec["restartPolicy"])

    def _manifests(self) -> Iterator[tuple[Object, Role]]:
        spec = self.manifest["spec"]
        for manifest in spec.get("initContainers") or []:
            yield manifest, role_of(manifest, True)
        for manifest in spec["containers"]:
            yield manifest, role_of(manifest, False)

    def _with_role(self, *roles: Role) -> list[Container]:
        return [container for container in self.containers.values() if container.state.role in roles]

    def _surroundings(self, null: int) -> Surroundings:
        context = self.context

        def note(kind: str, reason: str, message: str) -> None:
            (context.events.warning if kind == "Warning" else context.events.normal)(self.key, reason, message)

        return Surroundings(
            runtime=context.runtime,
            spec=lambda manifest: process_spec(manifest, self._current(), context, self._volumes.directory),
            address=self._addresses[0],
            logs=self.logs,
            grace=self.manifest["spec"]["terminationGracePeriodSeconds"],
            changed=self._publish,
            note=note,
            clock=context.clock,
            null=null,
        )

    def _current(self) -> Object:
        return self.context.store.get(*self.key) or self.manifest

    async def _wait_finished(self) -> None:
        """Set `_finished` when the pod's phase is final: then its sidecars have nothing to do any more."""
        while True:
            version = self.context.store.version
            if self._current().get("status", {}).get("phase") in ("Succeeded", "Failed"):
                await self._stop_sidecars(trio.current_time() + self.manifest["spec"]["terminationGracePeriodSeconds"])
                self._finished.set()
                return
            await self.context.store.wait_change(version)

    # --- the end --------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Graceful stop of everything, in order."""
        current = self._current()
        grace = current["metadata"].get("deletionGracePeriodSeconds", 0)
        with trio.move_on_after(_SETTLE if grace else 0):
            await self.context.settled(int(current["metadata"]["resourceVersion"]))
        deadline = trio.current_time() + grace
        async with trio.open_nursery() as nursery:
            for container in self._with_role(Role.APP, Role.INIT):
                nursery.start_soon(container.stop, deadline)
        await self._stop_sidecars(max(deadline, trio.current_time() + (_SIDECAR_GRACE if grace else 0)))

    async def _stop_sidecars(self, deadline: float) -> None:
        for container in reversed(self._with_role(Role.SIDECAR)):
            await container.stop(deadline)

    def _publish(self) -> None:
        """Write the status."""
        states = [container.state for container in self.containers.values()]

        def change(pod: Object) -> None:
            if pod["metadata"]["uid"] == self.uid:
                pod["status"] = pod_status(
                    states, pod["spec"]["restartPolicy"], self._addresses, pod.get("status", {}), self.context.clock()
                )

        self.context.store.update(self.key, change)


async def _either(*events: trio.Event) -> None:
    """Wait until one of the events is set."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
