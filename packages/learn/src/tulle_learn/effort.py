"""How much processor time a lab has used: what a reload costs, on a machine that is busy with other things too.

Owns reading /proc (proc(5)); seconds by the clock are the machine's affair, these are ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

Used: TypeAlias = Mapping[tuple[int, int], float]
"""Seconds so far of each process, by its number and when it began."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _BEGAN = 1, 19
_TIMES = slice(11, 15)
"""utime, stime, cutime, cstime, among the fields after the program's name."""


def used(pid: int | None, proc: Path = Path("/proc")) -> Used:
    """Of process `pid` and all below it, with those of their children that ended and were waited for."""
    found: dict[int, list[str]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended just now
                continue
    children: dict[int, list[int]] = {}
    for one, fields in found.items():
        children.setdefault(int(fields[_PARENT]), []).append(one)
    seconds: dict[tuple[int, int], float] = {}
    left = [pid] if pid in found else []
    while left:
        one = left.pop()
        seconds[one, int(found[one][_BEGAN])] = sum(map(int, found[one][_TIMES])) / _TICKS
        left += children.get(one, ())
    return seconds


def since(before: Used, now: Used) -> float:
    """Seconds between the two looks. What a process did that was killed in between is not known, and not counted."""
    return sum(seconds - before.get(process, 0.0) for process, seconds in now.items())
