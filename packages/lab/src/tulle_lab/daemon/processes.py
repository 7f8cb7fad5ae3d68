"""Verbs about processes: exec (in a container, or on the node) and logs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, BinaryIO

import trio

from tulle_lab.cluster.objects import is_terminating, is_true, owner_uid
from tulle_lab.daemon.lab import NODE_ETC, Lab
from tulle_lab.daemon.server import Connection
from tulle_lab.errors import LabError, NotFound
from tulle_lab.kinds.registry import by_any_name
from tulle_lab.kubelet.images import search_path
from tulle_lab.kubelet.process_spec import etc_mounts
from tulle_lab.launch.machine import NODE
from tulle_lab.sandbox.runtime import Process
from tulle_lab.sandbox.spec import CAPABILITIES, ProcessSpec

_POLL = 0.2
_CHUNK = 64 * 1024


def pod_name(lab: Lab, target: str, namespace: str) -> str:
    """The pod that `POD`, `pod/POD`, `deploy/NAME` or `job/NAME` means: of a workload, a ready pod if there is one."""
    word, slash, name = target.rpartition("/")
    if not slash:
        return target
    kind = by_any_name(word)
    if kind.name == "Pod":
        return name
    owner = lab.store.get(kind.name, namespace, name)
    if owner is None:
        raise NotFound(
            f"there is no {kind.name} {name} in namespace {namespace}",
            fix=f"tulle lab get {kind.plural} -n {namespace}",
        )
    pods = [pod for pod in lab.store.list("Pod", namespace) if owner_uid(pod) == owner["metadata"]["uid"]]
    pods.sort(key=lambda pod: (is_terminating(pod), not is_true(pod, "Ready")))
    if not pods:
        raise NotFound(f"{target} has no pods", fix=f"tulle lab get pods -n {namespace}")
    return str(pods[0]["metadata"]["name"])


async def execute(
    lab: Lab, request: dict[str, Any], client: Connection, inbox: trio.MemoryReceiveChannel[dict[str, Any]]
) -> Any:
    """{target, namespace, container, argv, terminal} with three descriptors -> {code}. Later: {signal: number}."""
    argv, terminal = tuple(request["argv"]), bool(request.get("terminal"))
    if len(client.fds) != 3:
        raise LabError("exec needs standard input, output and error", "the client sent none")
    if request["target"] == NODE:
        spec = _node_spec(argv, terminal)
    else:
        namespace = request["namespace"]
        name = pod_name(lab, request["target"], namespace)
        container = lab.node.container(namespace, name, request.get("container", ""))
        if container.running is None:
            fix = f"tulle lab get pod {name} -n {namespace}"
            raise LabError(f"container {container.name} of pod {name} is not running", fix=fix)
        spec = container.running.exec_spec(argv, terminal=terminal)
    process = await lab.runtime.start(spec, *client.fds)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_forward_signals, process, inbox)
            code = await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        if process.code is None:
            await process.kill(group=True)
    return {"code": code}


async def _forward_signals(process: Process, inbox: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
    async for message in inbox:
        if "signal" in message:
            await process.signal(signal.Signals(message["signal"]))


def _node_spec(argv: tuple[str, ...], terminal: bool) -> ProcessSpec:
    """A process beside the pods: a client outside of the mesh. It is the lab's root, so that it may look at all."""
    env = {"PATH": search_path(), "HOME": "/root", "HOSTNAME": NODE}
    return ProcessSpec(
        name="exec-node",
        argv=argv,
        env=env,
        capabilities=CAPABILITIES,
        mounts=etc_mounts(NODE_ETC),
        terminal=terminal,
        own_pids=False,
    )


async def logs(lab: Lab, request: dict[str, Any], client: Connection, _: Any) -> Any:
    """{target, namespace, container, follow, tail, previous} -> items {text}, then {}."""
    namespace = request["namespace"]
    name = pod_name(lab, request["target"], namespace)
    lab.node.pod(namespace, name)
    container = lab.node.container(namespace, name, request.get("container", ""))
    restarts = container.state.restarts - bool(request.get("previous"))
    path = lab.state.logs / namespace / name / container.name / f"{restarts}.log"
    if not _is_file(path) and (request.get("previous") or not request.get("follow")):
        which = "no former run" if request.get("previous") else "not started yet"
        fix = f"tulle lab get pod {name} -n {namespace} -o yaml"
        raise LabError(f"container {container.name} of pod {name} has no log", which, fix)
    reader = _Reader(path)
    reader.skip_to_last(request.get("tail"))
    try:
        while True:
            alive = lab.store.get("Pod", namespace, name) is not None
            await reader.send_new(client)
            if not request.get("follow") or not alive:
                return {}
            if container.state.restarts > restarts:
                await reader.send_new(client)
                reader.close()
                restarts = container.state.restarts
                reader = _Reader(path.with_name(f"{restarts}.log"))
            elif container.state.restarts < restarts or reader.is_replaced():  # it was begun anew (renew)
                reader.close()
                restarts = container.state.restarts
                reader = _Reader(path.with_name(f"{restarts}.log"))
            await trio.sleep(_POLL)
    finally:
        reader.close()


def _is_file(path: Path) -> bool:
    return path.is_file()


class _Reader:
    """Reads a log as it grows. Holds it open, so that the last words are read though the pod's folder is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._open()

    def _open(self) -> None:
        if self._file is None and self._path.exists():
            self._file = self._path.open("rb")

    def is_replaced(self) -> bool:
        """Whether another file has the name now."""
        return (
            self._file is not None
            and self._path.exists()
            and not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def skip_to_last(self, lines: int | None) -> None:
        """Begin with the last `lines` lines; None: with the first."""
        file = self._file
        if lines is None or file is None:
            return
        end = start = file.seek(0, os.SEEK_END)
        found = b""
        while start > 0 and found.count(b"\n") <= lines:
            step = min(_CHUNK, start)
            start -= step
            file.seek(start)
            found = file.read(step) + found
        file.seek(end - sum(len(line) for line in found.splitlines(keepends=True)[-lines:]) if lines else end)

    async def send_new(self, client: Connection) -> None:
        """Send what was written since the last time. A log that was cut meanwhile (Node) is read from its start."""
        self._open()
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            await _send(client, chunk)


async def _send(client: Connection, data: bytes) -> None:
    if data:
        await client.item({"text": data.decode(errors="surrogateescape")})
