"""Puts the lab together: store, controllers, node, rules, names. The one place that knows every part.

Owns the order of starting and stopping. `stop` ends all pods in order; after that, or if this process dies, PID 1 and
the kernel take away whatever is left.
"""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import trio

from tulle_lab.cluster.api import Api
from tulle_lab.cluster.controllers import Controllers
from tulle_lab.cluster.events import Events
from tulle_lab.cluster.objects import Object
from tulle_lab.cluster.own_objects import own_objects
from tulle_lab.cluster.services import ClusterIPs
from tulle_lab.cluster.store import Store
from tulle_lab.cluster.webhook import SYSTEM_NAMESPACES, Webhook
from tulle_lab.daemon.shared_files import SharedFiles
from tulle_lab.kubelet import identity
from tulle_lab.kubelet.context import Context
from tulle_lab.kubelet.images import search_path
from tulle_lab.kubelet.node import Node
from tulle_lab.kubelet.process_spec import ETC_FILES
from tulle_lab.launch import plugins
from tulle_lab.launch.machine import NODE, PODS
from tulle_lab.network import links
from tulle_lab.network.addresses import NODE_ADDRESSES
from tulle_lab.network.name_server import NameServer
from tulle_lab.network.service_proxy import ServiceProxy
from tulle_lab.sandbox.runtime import Runtime
from tulle_lab.state import StateFolder

APP_GRACE, SYSTEM_GRACE = 5, 2
"""Longest grace, in seconds, that `down` gives to pods."""

_STATE_CHECK = 2.0

NODE_ETC = Path("/run/tulle/node-etc")


class Lab:
    """The running lab."""

    def __init__(self, state: StateFolder, runtime: Runtime) -> None:
        self.state, self.runtime = state, runtime
        self.ipv6 = links.has_ipv6()
        self.store = Store(state.cluster)
        self.events = Events()
        key = secrets.token_bytes(32)
        self.shared = SharedFiles(state, self.store)
        self.shared.create(key)
        self.services = ServiceProxy(self.store, self.events, self.ipv6)
        self.api = Api(
            self.store,
            self.events,
            Webhook(self.store, state.run / "admission" / "ca.pem"),
            ClusterIPs(self.ipv6),
        )
        self.node = Node(
            Context(
                store=self.store,
                runtime=runtime,
                settled=self.settled,
                events=self.events,
                state=state.path,
                logs=state.logs,
                volumes=Path(PODS),
                token_key=key,
                search_path=search_path(),
                ipv6=self.ipv6,
                report=report,
                plugins=plugins.handed_down(os.environ),
            )
        )
        self.stopped = trio.Event()
        self.controllers = Controllers(self.api, report)
        self._controlling = trio.CancelScope()
        self._stopping = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until `stop`; started once the network is up and the cluster's own objects exist."""
        _write_sysctls()
        await links.apply(links.node_batch(self.ipv6))
        self._node_files()
        await self.api.apply(own_objects(self.ipv6), validate=False)
        async with trio.open_nursery() as nursery:
            await nursery.start(NameServer(self.store, NODE_ADDRESSES if self.ipv6 else NODE_ADDRESSES[:1]).run)
            await nursery.start(self.services.run)
            nursery.start_soon(self.shared.run)
            nursery.start_soon(self._run_controllers)
            nursery.start_soon(self.node.run)
            nursery.start_soon(self._end_without_state)
            task_status.started()
            await self.stopped.wait()
            nursery.cancel_scope.cancel()

    async def _run_controllers(self) -> None:
        with self._controlling:
            await self.controllers.run()

    async def _end_without_state(self) -> None:
        """A lab whose state folder was removed could not be found any more, nor ended by a command: it ends itself."""
        lock = _identity(self.state.lock)
        while True:
            await trio.sleep(_STATE_CHECK)
            if _identity(self.state.lock) != lock:
                await self.stop()

    async def settled(self, version: int) -> None:
        """Wait until what follows from the store at `version` is done: slices, then the rules made of them."""
        await self.controllers.progress.wait(version)
        await self.services.progress.wait(self.controllers.progress.version)

    async def stop(self) -> None:
        """End all pods, apps before Tulle's own, then `run`. Calling it twice is calling it once."""
        if not self._stopping:
            self._stopping = True
            self._controlling.cancel()
            await self._end_pods(lambda namespace: namespace not in SYSTEM_NAMESPACES, APP_GRACE)
            await self._end_pods(lambda namespace: True, SYSTEM_GRACE)
            self.stopped.set()
        await self.stopped.wait()

    async def _end_pods(self, chosen: Callable[[str], bool], most: int) -> None:
        """Stop the pods of the chosen namespaces within `most` seconds."""
        keys = [pod.key for pod in self.node.pods.values() if chosen(pod.key.namespace)]
        for key in keys:
            pod = self.store.get(*key)
            if pod is not None:
                self.api.delete_pod(key, min(most, pod["spec"]["terminationGracePeriodSeconds"]))
        with trio.move_on_after(most + 5):
            while any(pod.key in keys for pod in self.node.pods.values()):
                version = self.store.version
                await self.store.wait_change(version)

    def _node_files(self) -> None:
        """/etc files for `exec node`: cluster names resolve there too."""
        NODE_ETC.mkdir(parents=True, exist_ok=True)
        own = f"{NODE_ADDRESSES[0]}\t{NODE}\n"
        pod: Object = {"metadata": {"name": NODE, "namespace": "default"}, "spec": {}}
        texts = (identity.hosts_file(pod, []) + own, identity.resolver_file("default"), NODE + "\n", identity.NSSWITCH)
        for name, text in zip(ETC_FILES, texts, strict=True):
            (NODE_ETC / name).write_text(text)


def report(what: str) -> None:
    """A line, and the traceback being handled, in the daemon's log: a fault of the lab itself."""
    print(f"{what}\n{traceback.format_exc()}", file=sys.stderr, flush=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_sysctls() -> None:
    for path, value in links.NODE_SYSCTLS.items():
        file = Path("/proc/sys", path)
        if file.exists():  # not without IPv6
            file.write_text(value)
