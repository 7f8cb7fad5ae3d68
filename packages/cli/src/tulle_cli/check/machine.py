"""Looks at this machine, for the checks: which programs there are, what they say, and who listens. Changes nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")
"""Often not on the PATH of those who are not root."""
SECONDS = 20.0
"""A program that takes longer hangs."""
_LISTEN = "0A"  # TCP_LISTEN, net/tcp_states.h


def find_program(name: str) -> str | None:
    """Its path: beside this Python (a virtual environment's scripts), on PATH, or in the system folders."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]
    return shutil.which(name, path=os.pathsep.join(folders))


def is_root() -> bool:
    """Whether this process may make namespaces without a user namespace."""
    return os.geteuid() == 0


def complaint(command: Sequence[str]) -> str:
    """Run a program: empty when it exits 0, else its last words."""
    environment = {**os.environ, "LC_ALL": "C", "PATH": os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=environment, stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {SECONDS:g} s"
    except OSError as error:
        return f"{command[0]} could not be started: {error.strerror or error}"
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return "\n".join(said[-3:]) or f"{command[0]} exited with status {done.returncode}"


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket in this network namespace; `process` is empty where /proc does not let us see it."""

    port: int
    process: str


def listeners(ports: frozenset[int]) -> list[Listener]:
    """Who listens on any of `ports`, one a port, sorted."""
    inodes = {inode: port for port, inode in _listening() if port in ports}
    if not inodes:
        return []
    holders = _holders(set(inodes))
    found = {port: holders.get(inode, "") for inode, port in inodes.items()}
    return [Listener(port, found[port]) for port in sorted(found)]


def _listening() -> Iterator[tuple[int, str]]:
    # columns: sl local_address rem_address st ... uid timeout inode (proc_net_tcp.txt); address as hex:port
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:  # no /proc, or a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                yield int(fields[1].rpartition(":")[2], 16), fields[9]


def _holders(inodes: set[str]) -> dict[str, str]:
    """Socket inode -> "name (pid 17)", of the processes that we may look into."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                inode = wanted.get(os.readlink(descriptor))
                if inode:
                    found[inode] = f"{_name(process)} (pid {process.name})"
        except OSError:  # not ours to look into, or gone
            continue
    return found


def _name(process: Path) -> str:
    """The script where an interpreter runs one, else the program."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    names = [os.path.basename(word) for word in words[:3] if word and not word.startswith("-")]
    return next((name for name in names if not name.startswith("python")), names[0] if names else "?")
