"""Memory and start of every proxy of the lab, from /proc. Run on the node, whose processes are all of the lab's.

    proxies.py [--watch]

Prints JSON: pod -> {resident_bytes, peak_bytes, started (Unix time), pid, cpu_seconds and when (Unix time)}. With
--watch it looks again every 10 ms until standard input ends, and `peak_bytes` is the most that it saw, `first_bytes`
the first; else the former is what the kernel saw (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import Any

Row = dict[str, Any]


def proxies() -> dict[int, Row]:
    """By pid."""
    found: dict[int, Row] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if b"tulle_data_plane" not in words:  # `tulle-proxy` has become `python -m tulle_data_plane`
                continue
            with open(f"/proc/{name}/environ", "rb") as file:
                variables = dict(part.partition(b"=")[::2] for part in file.read().split(b"\0"))
            if b"TULLE_POD_NAME" not in variables:
                continue  # no sidecar
            row = {"pod": variables[b"TULLE_POD_NAME"].decode(), "started": started(name)}
            found[int(name)] = {**row, **memory(name), **cpu(name)}
        except (OSError, KeyError):
            continue  # it has ended meanwhile
    return found


def memory(pid: str) -> Row:
    """VmRSS and VmHWM. Raises KeyError for what has no memory of its own any more."""
    fields = {}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields[name] = value.split()
    return {"resident_bytes": int(fields["VmRSS"][0]) * 1024, "peak_bytes": int(fields["VmHWM"][0]) * 1024}


def started(pid: str) -> float:
    """Unix time at which the process began (proc_pid_stat(5): starttime, in clock ticks since boot)."""
    with open(f"/proc/{pid}/stat") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def cpu(pid: str) -> Row:
    """Seconds of user and system time so far, and when that was (proc_pid_stat(5): utime and stime, in clock ticks)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return {"cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), "when": time.time()}


def watch(enough: threading.Event) -> dict[int, Row]:
    """Look until `enough`; the most of each."""
    seen = proxies()
    first = {pid: row["resident_bytes"] for pid, row in seen.items()}
    for pid, row in seen.items():
        row["peak_bytes"] = row["first_bytes"] = first[pid]
    while not enough.wait(0.01):
        for pid, row in seen.items():
            try:
                row["resident_bytes"] = memory(str(pid))["resident_bytes"]
            except (OSError, KeyError):
                continue
            row["peak_bytes"] = max(row["peak_bytes"], row["resident_bytes"])
    return seen


def main() -> None:
    """Look, once or on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watch", action="store_true")
    options = parser.parse_args()
    if options.watch:
        enough = threading.Event()

        def wait_for_enough() -> None:
            sys.stdin.read()
            enough.set()

        threading.Thread(target=wait_for_enough, daemon=True).start()
        seen = watch(enough)
    else:
        seen = proxies()
    print(json.dumps({row["pod"]: {**row, "pid": pid} for pid, row in seen.items()}))


if __name__ == "__main__":
    main()
