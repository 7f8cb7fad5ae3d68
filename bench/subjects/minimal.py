"""floor.py as a subject, so that it is measured by the same client in the same rounds."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.services import APP
from bench.subjects.subject import Subject
from bench.world import wait_for


class Floor(Subject):
    """Only what is tiny and HTTP."""

    title = "floor (Python, no parsing)"
    serves = (APP,)

    def start(self) -> None:
        script = str(Path(__file__).with_name("floor.py"))
        words = [sys.executable, "-OO", "-S", "-E", script, str(APP.local), APP.stable[0], str(APP.target)]
        self.processes = [self.world.start(self.name, words, pod=self.pod, core=self.world.proxy_core)]
        wait_for("answer", self.reachable, self.processes[0], self.name)
