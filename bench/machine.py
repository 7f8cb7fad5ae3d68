"""What the kernel says of a process: its CPU time and its memory. And which cores there are to measure on.

Owns reading /proc and CPU clocks. Refuses to start or stop anything.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU time of some processes, in seconds since they began."""

    total: float
    """User and system time, by the processes' CPU clocks: the same sum as utime + stime, but in nanoseconds."""
    user: float
    system: float
    """utime and stime of proc_pid_stat(5), in ticks of 10 ms: good for their proportion only."""

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.total - other.total, self.user - other.user, self.system - other.system)


def family(pids: tuple[int, ...]) -> list[int]:
    """Processes and all their descendants (nginx has workers)."""
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            waiting += map(int, (task / "children").read_text().split())
    return sorted(found)


def cpu(pids: tuple[int, ...]) -> Cpu:
    """CPU time of processes and their living descendants. Raises OSError when one has ended."""
    total = user = system = 0.0
    for pid in family(pids):
        total += time.clock_gettime(clock_of(pid))
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(ticks[11]) / TICKS
        system += int(ticks[12]) / TICKS
    return Cpu(total, user, system)


def clock_of(pid: int) -> int:
    """The process's CPU clock, as clock_getcpuclockid(3) makes it: the inverted pid above 3 bits, CPUCLOCK_SCHED."""
    return (~pid << 3) | 2


def resident_kib(pids: tuple[int, ...]) -> int:
    """Resident memory (VmRSS) of processes and their descendants, in KiB."""
    return sum(_status_kib(pid, "VmRSS") for pid in family(pids))


def peak_kib(pids: tuple[int, ...]) -> int:
    """The most that was resident (VmHWM) since `forget_peak`, in KiB."""
    return sum(_status_kib(pid, "VmHWM") for pid in family(pids))


def forget_peak(pids: tuple[int, ...]) -> None:
    """Begin VmHWM anew (proc_pid_clear_refs(5))."""
    for pid in family(pids):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has ended")


def cores() -> tuple[int, int]:
    """The client's and backend's core, and the proxy's. BENCH_CORES=2,3 chooses. Raises SystemExit with one core."""
    chosen = os.environ.get("BENCH_CORES", "")
    if chosen:
        first, second = (int(part) for part in chosen.split(","))
        return first, second
    there = sorted(os.sched_getaffinity(0))
    if len(there) < 2:
        raise SystemExit("bench: two cores are needed, one for the proxy and one for its client and backend")
    return there[0], there[1]


@dataclass(frozen=True)
class Look:
    """The machine's CPU time at one moment, in seconds, and what of it was ours."""

    busy: float
    stolen: float
    total: float
    ours: float


@dataclass(frozen=True)
class Disturbance:
    """What makes a run's figures doubtful, as shares of the machine's CPU time."""

    others: float
    """Spent by processes that are not of the run."""
    stolen: float
    """Given to other virtual machines by the hypervisor."""

    @property
    def doubtful(self) -> bool:
        """Whether ratios from this run are to be taken with care."""
        return self.others > 0.05 or self.stolen > 0.02


def look() -> Look:
    """Now. As the first process of a PID namespace: every process that /proc shows is of the run."""
    # proc_stat(5): user nice system idle iowait irq softirq steal; interrupts are nobody's
    ticks = [float(field) / TICKS for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    ours = sum(usage.ru_utime + usage.ru_stime for usage in (ended, own))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ours += sum(int(field) for field in fields[11:15]) / TICKS  # utime stime cutime cstime
    return Look(sum(ticks[:3]), ticks[7], sum(ticks), ours)


def disturbance(before: Look, after: Look) -> Disturbance:
    """Between two looks."""
    total = max(after.total - before.total, 1e-9)
    others = (after.busy - before.busy) - (after.ours - before.ours)
    return Disturbance(max(0.0, others) / total, (after.stolen - before.stolen) / total)
