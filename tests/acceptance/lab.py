"""`tulle lab`, run as a reader would type it, for one state folder.

Owns the subprocesses and their environment. Everything that a lab starts inherits its PATH, so an entry there marks
all of them as ours: that is how what is left over can be told from what is none of our business (machine.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 150.0
"""A command that takes longer hangs."""
TULLE = str(Path(sys.executable).with_name("tulle"))


class LabFailed(Exception):
    """A command failed, or hangs; the message has what it said."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What it said on either stream."""
        return (self.err + self.out).strip()


class Lab:
    """One lab, at `state`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.marker = f"/tulle-acceptance{state}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TULLE_")}
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), self.marker])
        self.environment = {**clean, "PATH": path, "TULLE_LAB_STATE": str(state), "NO_COLOR": "1"}

    def tulle(
        self, *words: str, stdin: str = "", seconds: float = SECONDS, variables: Mapping[str, str] | None = None
    ) -> Done:
        """Run `tulle WORDS`, whatever its exit status. Raises LabFailed when it hangs."""
        try:
            done = subprocess.run(
                [TULLE, *words], input=stdin, capture_output=True, text=True, errors="replace", timeout=seconds,
                check=False, env={**self.environment, **(variables or {})}, start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise LabFailed(f"`tulle {' '.join(words)}` did not end within {seconds:g} s") from error
        return Done(done.returncode, done.stdout, done.stderr)

    def run(self, *words: str, stdin: str = "", seconds: float = SECONDS) -> str:
        """`tulle lab WORDS`; what it printed. Raises LabFailed when it exits with anything but 0."""
        done = self.tulle("lab", *words, stdin=stdin, seconds=seconds)
        if done.code:
            raise LabFailed(f"`tulle lab {' '.join(words)[:200]}` exited with {done.code}: {done.said[-1500:]}")
        return done.out

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`tulle lab WORDS` in the background, with pipes. The caller ends it."""
        return subprocess.Popen(
            [TULLE, "lab", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment, start_new_session=True,
        )

    def exec(
        self, target: str, *argv: str, namespace: str = "default", container: str = "", stdin: str = "",
        seconds: float = SECONDS,
    ) -> str:
        """A command in a pod, or on the node; its standard output."""
        return self.run(*self.exec_words(target, *argv, namespace=namespace, container=container), stdin=stdin,
                        seconds=seconds)

    @staticmethod
    def exec_words(target: str, *argv: str, namespace: str = "default", container: str = "") -> list[str]:
        """The words after `tulle lab`."""
        return ["exec", target, "-n", namespace, *(["-c", container] if container else []), "--", *argv]

    def items(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.run("get", kind, "-n", namespace, "-o", "json"))["items"]
        return found

    def item(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """One object. Raises LabFailed when there is none."""
        found: dict[str, Any] = json.loads(self.run("get", kind, name, "-n", namespace, "-o", "json"))
        return found["items"][0] if found.get("kind") == "List" else found

    def is_up(self) -> bool:
        """Whether it answers."""
        return self.tulle("lab", "get", "namespaces", seconds=30).code == 0

    def down(self) -> None:
        """Take it down; at once, when it does not go in good order."""
        if self.tulle("lab", "down", "-q").code:
            self.run("down", "--now", "-q")
