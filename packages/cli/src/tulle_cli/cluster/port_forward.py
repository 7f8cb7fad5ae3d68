"""The control plane's API of a cluster, through `kubectl port-forward`: with the user's own rights, nothing exposed.

Owns the kubectl process: started with the first request, ended with this program, however that ends (also killed: it
is told by the kernel).
"""

from __future__ import annotations

import atexit
import ctypes
import re
import select
import signal
import subprocess

from tulle_cli.cluster.kubectl import Kubectl
from tulle_cli.errors import CliError

PREFIX = "kubernetes"
"""A target of this form, or "kubernetes:CONTEXT", is a cluster."""
_WORKLOAD = ("-n", "tulle-system", "port-forward", "deployment/tulle-control-plane", "--address", "127.0.0.1", ":8085")
_LINE = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> ")
_PR_SET_PDEATHSIG = 1  # prctl(2)
PATIENCE = 30.0
"""Seconds for kubectl's first word; an API server may take connections and say nothing."""


def is_cluster(target: str) -> bool:
    """Whether a target names a cluster."""
    return target.partition(":")[0] == PREFIX


def context_of(target: str) -> str | None:
    """The context of a target that names a cluster; None: kubectl's current one."""
    return target.partition(":")[2] or None


class PortForward:
    """One a client. `port` starts it; a forward that has ended (its pod is gone) is started again."""

    def __init__(self, target: str) -> None:
        self.context = context_of(target)
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def port(self) -> int:
        """The port on 127.0.0.1 that leads there. Raises CliError in kubectl's words."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._port

    def close(self) -> None:
        """End kubectl; idempotent."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        self.close()
        process = subprocess.Popen(
            [*Kubectl(self.context).command, *_WORKLOAD],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_die_with_parent,
        )
        self._process = process
        atexit.register(self.close)
        assert process.stdout is not None
        spoke, _, _ = select.select([process.stdout], [], [], PATIENCE)
        found = _LINE.match(process.stdout.readline()) if spoke else None
        if found is None:
            process.terminate()
            _, problem = process.communicate()
            self._process = None
            raise CliError(
                "the control plane of the cluster cannot be reached",
                problem.strip() or "kubectl port-forward said nothing",
                "kubectl -n tulle-system get pods says whether it runs; tulle install brings it",
            )
        self._port = int(found[1])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
