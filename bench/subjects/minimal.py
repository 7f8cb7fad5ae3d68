"""floor.py and floor_bulk.py as a subject, so that they are measured by the same client in the same rounds."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.services import APP, BULK, SINK
from bench.subjects.subject import Subject
from bench.world import wait_for


class Floor(Subject):
    """One process for what is tiny, and one that moves what is large."""

    title = "floor (Python, no parsing)"
    serves = (APP, SINK, BULK)

    def start(self) -> None:
        for script, services in (("floor", (APP,)), ("floor_bulk", (SINK, BULK))):
            path = str(Path(__file__).with_name(f"{script}.py"))
            ports = [word for each in services for word in (str(each.local), each.stable[0], str(each.target))]
            words = [sys.executable, "-OO", "-S", "-E", path, *ports]
            self.processes.append(self.world.start(script, words, pod=self.pod, core=self.world.proxy_core))
        wait_for("answer", self.reachable, self.processes[0], self.name)
