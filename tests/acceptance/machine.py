"""What can be seen of the machine from outside of the lab, to compare before and after.

Interfaces, named network namespaces, mounts and firewall rules as a whole; processes and the namespaces they hold, as
far as they carry the mark of one lab (lab.py), since a machine's other processes come and go as they like.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_RULES = (("iptables-save",), ("ip6tables-save",), ("nft", "list", "ruleset"))
_SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Machine:
    """One look. All of it compares by value."""

    interfaces: frozenset[str]
    named_namespaces: frozenset[str]
    mounts: frozenset[str]
    rules: str
    processes: frozenset[tuple[int, str]]
    """Marked ones: pid and command line."""
    namespaces: frozenset[str]
    """Of marked processes, those that we are not in ourselves: net:[4026532201]."""

    @classmethod
    def look(cls, marker: str) -> Machine:
        """Look now."""
        processes = marked(marker)
        return cls(
            interfaces=frozenset(os.listdir("/sys/class/net")),
            named_namespaces=frozenset(os.listdir("/run/netns")) if Path("/run/netns").is_dir() else frozenset(),
            mounts=frozenset(line.split(" - ")[0].split(" ", 3)[3] for line in _lines("/proc/self/mountinfo")),
            rules="\n".join(_rules(command) for command in _RULES),
            processes=frozenset(processes.items()),
            namespaces=frozenset(name for pid in processes for name in _namespaces(str(pid))) - _namespaces("self"),
        )

    def differences(self, after: Machine) -> list[str]:
        """What is not as it was, a sentence each."""
        found = []
        for what in ("interfaces", "named_namespaces", "mounts", "processes", "namespaces"):
            old, new = getattr(self, what), getattr(after, what)
            words = what.replace("_", " ")
            found += [f"{words} left: {_some(new - old)}"] if new - old else []
            found += [f"{words} gone: {_some(old - new)}"] if old - new else []
        if self.rules != after.rules:
            found.append("firewall rules differ")
        return found


def marked(marker: str) -> dict[int, str]:
    """Processes whose PATH has the mark, by pid; their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            path = re.search(rb"(?:^|\0)PATH=([^\0]*)", (entry / "environ").read_bytes())
            if path and marker.encode() in path[1].split(b":"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80]
        except OSError:
            continue  # it has ended, or is another user's
    return found


def _namespaces(pid: str) -> frozenset[str]:
    try:
        return frozenset(os.readlink(entry) for entry in Path("/proc", pid, "ns").iterdir())
    except OSError:
        return frozenset()


def _rules(command: tuple[str, ...]) -> str:
    program = shutil.which(command[0], path=_SBIN)
    if program is None:
        return ""
    said = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False).stdout
    lines = (re.sub(r"\[\d+:\d+\]|packets \d+ bytes \d+", "", line).strip() for line in said.splitlines())
    rules = [line for line in lines if line and not line.startswith("#")]
    return "\n".join(line for line in rules if line.startswith(("-A", "-N")) or command[0] == "nft")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _some(things: frozenset[object]) -> str:
    shown = sorted(map(str, things))
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
