"""A script of load/ that runs in the background: told to stop by the end of its input, and then asked what came of it.

Owns the process; `abandon` kills it, and is safe to call at any time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

from tests.acceptance.lab import LabFailed
from tests.acceptance.workspace import LOAD

SECONDS = 150.0


class Running:
    """The process behind it is `tulle lab exec`, which ends its program when it is hung up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._report: Any = None

    def enough(self, seconds: float = SECONDS) -> Any:
        """Tell it to come to an end, wait for that, and return what it printed. Raises LabFailed."""
        if self._report is None:
            try:
                out, err = self._process.communicate(timeout=seconds)  # closes its input first
            except subprocess.TimeoutExpired as error:
                self.abandon()
                raise LabFailed(f"a load script did not end within {seconds:g} s") from error
            if self._process.returncode:
                raise LabFailed(f"a load script exited with {self._process.returncode}: {err.strip()[-1500:]}")
            self._report = json.loads(out)
        return self._report

    def abandon(self) -> None:
        """Kill it, if it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def script_map(namespace: str) -> str:
    """A ConfigMap with all scripts of load/, for pods to mount."""
    data = {path.name: path.read_text() for path in sorted(LOAD.glob("*.py"))}
    metadata = {"name": "acceptance-scripts", "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
