"""`tulle lab`, run as a reader would type it: the demo uses no door that the reader does not have.

Owns the subprocess. `state` is the lab's folder, through TULLE_LAB_STATE, so that all commands mean the same lab.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tulle_cli.errors import CliError

_COMMAND = (sys.executable, "-m", "tulle_cli.main", "lab")
_CURL = ("curl", "-sS", "--fail-with-body", "--max-time", "60")
SECONDS = 300.0
"""A command that takes longer hangs, also where the machine has much else to do."""


class LabFailed(CliError):
    """A `tulle lab` command failed; `why` is what it said."""


class Lab:
    """One lab, at `state`."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *words: str, stdin: str = "", seconds: float = SECONDS) -> str:
        """`tulle lab WORDS`; its stdout. Raises LabFailed."""
        try:
            done = subprocess.run(
                [*_COMMAND, *words], input=stdin, capture_output=True, text=True, timeout=seconds, check=False,
                env=self._environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise LabFailed(f"`tulle lab {' '.join(words)}` did not end within {seconds:g} s") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabFailed(f"`tulle lab {' '.join(words)}` failed", said, "tulle check --pre says what is missing")
        return done.stdout

    def up(self, manifests: Path, each: Callable[[str], None]) -> None:
        """`tulle lab up -f MANIFESTS`; each line of its output as it comes.

        Raises LabFailed; the lab may be there all the same. Cancelled, the command ends, and the lab may be there.
        """
        words = [*_COMMAND, "up", "-f", str(manifests)]
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self._environment(),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                each(line.rstrip("\n"))
            said = process.stderr.read().strip()
        if process.returncode:
            raise LabFailed(f"`tulle lab up -f {manifests}` failed", said, "tulle check --pre says what is missing")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TULLE_LAB_STATE": str(self.state), "NO_COLOR": "1"}

    def is_running(self) -> bool:
        """Whether a lab lives at `state`."""
        try:
            from tulle_lab.state import StateFolder
        except ImportError as error:
            raise CliError(
                "the demo needs the lab", f"tulle-lab is not installed: {error}", "pip install 'tulle-cli[lab]'"
            ) from error
        return StateFolder(self.state).is_running()

    def items(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.run("get", kind, "-n", namespace, "-o", "json"))["items"]
        return found

    def curl(self, url: str) -> str:
        """The body of GET `url`, asked from the node: a client without a proxy. A status of 400 or more fails."""
        return self.run("exec", "node", "--", *_CURL, url)

    def post(self, url: str, data: str) -> str:
        """The body of POST `url`, likewise."""
        return self.run("exec", "node", "--", *_CURL, "-d", data, url)
