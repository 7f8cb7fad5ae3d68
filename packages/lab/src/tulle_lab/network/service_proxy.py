"""Keeps the node's iptables true to Services and EndpointSlices: one atomic iptables-restore a family and change.

Owns when rules are written. The rules themselves are made in service_rules.py.
"""

from __future__ import annotations

import trio

from tulle_lab.cluster.events import Events
from tulle_lab.cluster.objects import Key
from tulle_lab.cluster.progress import Progress
from tulle_lab.cluster.store import Store
from tulle_lab.errors import LabError
from tulle_lab.network.service_rules import render, service_ports

_PROGRAMS = {"IPv4": "iptables-restore", "IPv6": "ip6tables-restore"}


class ServiceProxy:
    """Run `run` in a nursery. `progress` says which version of the store the rules reflect."""

    def __init__(self, store: Store, events: Events, ipv6: bool) -> None:
        self.progress = Progress()
        self._store, self._events = store, events
        self._families = ("IPv4", "IPv6") if ipv6 else ("IPv4",)
        self._written: dict[str, str] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the store for ever; started after the first sync, which raises LabError when it fails.

        A later failure becomes an event, and the next change a new try.
        """
        while True:
            version = self._store.version
            try:
                for family in self._families:
                    await self._sync(family)
            except LabError as error:
                if self.progress.version < 0:
                    raise
                self._events.warning(Key("Node", "", "node"), "FailedServiceRules", str(error))
            if self.progress.version < 0:
                task_status.started()
            self.progress.reached(version)
            await self._store.wait_change(version)

    async def _sync(self, family: str) -> None:
        ports = service_ports(self._store.list("Service"), self._store.list("EndpointSlice"), family)
        text = render(ports, family)
        if self._written.get(family) == text:
            return
        result = await trio.run_process(
            [_PROGRAMS[family], "-w"], stdin=text.encode(), capture_stdout=True, capture_stderr=True, check=False
        )
        if result.returncode:
            why = result.stderr.decode(errors="replace").strip()
            raise LabError(f"{_PROGRAMS[family]} refused the rules for Services", why, "tulle check --pre")
        self._written[family] = text
