"""kubectl, as the user has it: their cluster, credentials and proxy settings. Nothing of that is ours to know."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from tulle_cli.errors import CliError


class KubectlFailed(CliError):
    """kubectl ended with an error; `why` is what it said."""


class Kubectl:
    """kubectl for one context (None: its current one)."""

    def __init__(self, context: str | None = None, kubeconfig: str | None = None) -> None:
        """Raises CliError where there is no kubectl."""
        program = shutil.which("kubectl")
        if program is None:
            raise CliError(
                "kubectl is not on PATH",
                "Tulle is installed with it, so that your own rights decide",
                "install kubectl, or print the manifests elsewhere: tulle install --dry-run",
            )
        self.command = [program]
        if context:
            self.command += ["--context", context]
        if kubeconfig:
            self.command += ["--kubeconfig", kubeconfig]

    def run(self, *arguments: str, given: str | None = None) -> str:
        """What it printed. Raises KubectlFailed."""
        done = subprocess.run([*self.command, *arguments], input=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)} failed", done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """A `get` as JSON. Raises KubectlFailed."""
        return json.loads(self.run("get", *arguments, "-o", "json"))

    def stream(self, arguments: Sequence[str]) -> None:
        """Run it with its output on ours. Raises KubectlFailed."""
        done = subprocess.run([*self.command, *arguments], check=False)
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)} failed", "it said why above")
