"""What all measured proxies have in common.

Owns the life of one proxy: start, proof that it answers, stop. A subject is alive from `start` to `stop`, and can be
started again, as a fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from bench.services import APP, SERVICES, Service
from bench.world import RUN, Broken, Pod, World

BASE = "envoy"
"""The subject that ratios are to."""


def python(module: str, *words: str) -> list[str]:
    """A module of ours that needs nothing but the standard library, so that it starts fast."""
    return [sys.executable, "-S", "-E", "-m", module, *words]


class Subject(ABC):
    """One proxy in a pod of its own."""

    title: ClassVar[str]
    """As tables name it."""
    baseline: ClassVar[str] = BASE
    """The subject to whose figures this one's are related."""
    program: ClassVar[str] = ""
    """What must be installed for it; "" for what always is."""
    serves: ClassVar[tuple[Service, ...]] = SERVICES

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.pod: Pod = world.pod(name)
        self.folder = RUN / name
        self.folder.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose CPU time and memory count."""
        return tuple(process.pid for process in self.processes)

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it takes connections. Raises Broken."""

    def stop(self) -> None:
        """End it."""
        for process in self.processes:
            self.world.stop(process)
        self.processes.clear()

    def address(self, service: Service) -> tuple[str, int]:
        """What a client in the pod dials."""
        return "127.0.0.1", service.local

    def reachable(self) -> bool:
        """Whether it takes connections."""
        return bool(self._ask(APP, "/"))

    def prove(self) -> dict[str, Any]:
        """What it answers to a request for the 10 KB page; Broken if not with that page."""
        found = self._ask(APP, "/10k")
        if found.get("status") != 200 or found.get("length") != 10_000:
            raise Broken(f"{self.name} does not proxy: {found}")
        return found

    def _ask(self, service: Service, path: str) -> dict[str, Any]:
        ip, port = self.address(service)
        done = subprocess.run(self.client("ask", ip, str(port), path), capture_output=True, text=True, timeout=20,
                              check=False)
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    def client(self, script: str, *words: str) -> list[str]:
        """The command line of one of our clients in this pod, on the client's core."""
        return self.world.argv(python(f"bench.load.{script}", *words), pod=self.pod, core=self.world.client_core)

    def wrk(self, *words: str) -> list[str]:
        """The same for wrk."""
        return self.world.argv(["wrk", *words], pod=self.pod, core=self.world.client_core)
