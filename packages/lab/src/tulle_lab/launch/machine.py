"""The lab's own mount namespace: what the "node" sees. Done once, by PID 1, before anything else runs.

Owns these few mounts. The host's file system stays as it is, except that /run is private and empty: through the
sockets there (resolver, message bus, container engines) pods would reach services outside of the lab.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tulle_lab.sandbox import rootfs, syscalls
from tulle_lab.sandbox.syscalls import Mount
from tulle_lab.state import StateFolder

NODE = "node"
"""The one node's name."""

PODS = "/run/tulle/pods"
"""Volumes and files of pods: in memory, and gone with the lab."""


def prepare(state: StateFolder) -> None:
    """Make the node. Raises OSError naming the mount that failed."""
    quiet = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC
    syscalls.mount("none", "/", flags=Mount.REC | Mount.PRIVATE)
    syscalls.mount("proc", "/proc", "proc", quiet)
    keep = _under_run(state.path)
    if keep:
        descriptor = os.open(keep, os.O_PATH)
    syscalls.mount("tulle", "/run", "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=755")
    if keep:
        Path(keep).mkdir(parents=True)
        syscalls.bind(f"/proc/self/fd/{descriptor}", keep)
        os.close(descriptor)
    for path in (rootfs.BASE, PODS):
        Path(path).mkdir(parents=True)
    socket.sethostname(NODE)


def _under_run(path: Path) -> str:
    real = os.path.realpath(path)
    return real if real.startswith("/run/") else ""
