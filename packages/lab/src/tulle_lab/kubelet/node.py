"""The node: one task for each Pod object, and what others ask of running pods (exec, logs).

Owns the table of pods. Follows the store: a new object starts a task, a deletion mark stops it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import trio

from tulle_lab.cluster.objects import Key, is_terminating
from tulle_lab.errors import LabError, NotFound
from tulle_lab.kinds.schema import did_you_mean
from tulle_lab.kubelet.containers import Container
from tulle_lab.kubelet.context import Context
from tulle_lab.kubelet.pods import Pod
from tulle_lab.kubelet.status import Role
from tulle_lab.launch.machine import NODE

_LOG_LIMIT = 10 * 1024 * 1024
"""Bytes of a log before its older part is moved aside (kubelet's containerLogMaxSize)."""

_LOG_CHECK = 5.0


class Node:
    """Runs the pods. Run `run` in a nursery."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.pods: dict[str, Pod] = {}  # by uid

    async def run(self) -> None:
        """Follow the store for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cap_logs)
            while True:
                version = self.context.store.version
                for manifest in self.context.store.list("Pod"):
                    uid = manifest["metadata"]["uid"]
                    if uid not in self.pods:
                        self.pods[uid] = Pod(self.context, manifest)
                        nursery.start_soon(self._run_pod, uid)
                    elif is_terminating(manifest):
                        self.pods[uid].deletion.set()
                await self.context.store.wait_change(version)

    async def _run_pod(self, uid: str) -> None:
        try:
            await self.pods[uid].run()
        finally:
            del self.pods[uid]

    def pod(self, namespace: str, name: str) -> Pod:
        """The running pod of that name. Raises NotFound."""
        for pod in self.pods.values():
            if pod.key == Key("Pod", namespace, name):
                return pod
        raise NotFound(f"there is no pod {name} in namespace {namespace}", fix=f"tulle lab get pods -n {namespace}")

    def container(self, namespace: str, name: str, wanted: str = "") -> Container:
        """A container of a pod: the wanted one, else the first app container. Raises LabError."""
        pod = self.pod(namespace, name)
        if not wanted:
            apps = [container for container in pod.containers.values() if container.state.role is Role.APP]
            if not apps:
                raise LabError(f"pod {name} has no containers yet", fix=f"tulle lab get pod {name} -n {namespace}")
            return apps[0]
        if wanted not in pod.containers:
            raise NotFound(f"pod {name} has no container {wanted!r}{did_you_mean(wanted, pod.containers)}")
        return pod.containers[wanted]

    async def _cap_logs(self) -> None:
        """Move what is too long aside: `0.log` is copied to `0.log.1` and cut, since programs keep it open."""
        while True:
            await trio.sleep(_LOG_CHECK)
            try:
                for path in self.context.logs.rglob("*.log"):
                    if path.stat().st_size > _LOG_LIMIT:
                        _rotate(path)
            except OSError as error:  # somebody removed a log, or the disk is full
                self.context.events.warning(Key("Node", "", NODE), "LogRotationFailed", str(error))


def _rotate(path: Path) -> None:
    """Lines written between the copy and the cut are lost: fine here."""
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)
