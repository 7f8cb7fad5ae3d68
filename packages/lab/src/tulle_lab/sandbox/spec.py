"""What the daemon asks PID 1 to run: plain values that cross the channel as JSON.

Owns the shapes and the channel's framing (one datagram, one message, with descriptors). Imports nothing heavy: PID 1
loads it, and every container's shim is a fork of PID 1.
"""

from __future__ import annotations

import array
import json
import socket
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_MESSAGE = 1 << 20
MAX_DESCRIPTORS = 8

_DEFAULT = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT
 KILL AUDIT_WRITE"""
_ALL = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
 NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
 SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
 MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"""

DEFAULT_CAPABILITIES = tuple(_DEFAULT.split())
"""What containerd gives a container that asks for nothing."""

CAPABILITIES = tuple(_ALL.split())
"""Every capability, by number (linux/capability.h)."""


@dataclass(frozen=True)
class MountSpec:
    """`source` (a path as the daemon sees it) appears at `target` in the container."""

    source: str
    target: str
    readonly: bool = False


@dataclass(frozen=True)
class ProcessSpec:
    """One process to run.

    `sandbox`: the pod whose namespaces it gets; empty for the node's own. `join`: pid of a container whose
    namespaces it enters as they are (exec); 0 for a container of its own.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: int = 0
    group: int = 0
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    no_new_privileges: bool = False
    sandbox: str = ""
    join: int = 0
    mounts: tuple[MountSpec, ...] = ()
    hidden: tuple[str, ...] = ()
    """Folders of the machine that it shall not see: the lab's own state."""
    terminal: bool = False
    own_pids: bool = True
    """Whether it gets a PID namespace; without one (`exec node`) it sees all processes of the lab."""

    def to_json(self) -> dict[str, Any]:
        """For the channel."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ProcessSpec:
        """From the channel."""
        mounts = tuple(MountSpec(**mount) for mount in data.pop("mounts"))
        lists: dict[str, Any] = {key: tuple(data.pop(key)) for key in ("argv", "groups", "capabilities", "hidden")}
        return cls(**data, **lists, mounts=mounts)


def send(channel: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """One message with descriptors. OSError EMSGSIZE when it does not fit the socket's buffer."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    channel.sendmsg([json.dumps(message).encode()], ancillary)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors (close-on-exec, the caller's to close); None when the other side is gone."""
    data, fds, _, _ = socket.recv_fds(channel, MAX_MESSAGE, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    message: dict[str, Any] = json.loads(data)
    return message, fds
