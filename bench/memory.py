"""Memory under two loads: what thousands of idle connections hold, and what a long stream needs at its most.

Owns the order of looking and loading. See rows.py for where these are used.
"""

from __future__ import annotations

import json
import subprocess

from bench import machine, measure
from bench.measure import Sample, SampleFailed
from bench.services import APP
from bench.subjects.subject import Subject

COUNTS = (1_000, 10_000)
USED_SECONDS = 0.2


def idle_connections(subject: Subject) -> Sample:
    """KiB of resident memory for each of 1,000 and of 10,000 kept connections, in a fresh process that has been used.

    Fresh, since a process that has been under load has freed memory in it, in which connections would hide.
    """
    subject.stop()
    subject.start()
    measure.wrk(subject, USED_SECONDS, connections=1)
    base = machine.resident_kib(subject.pids)
    ip, port = subject.address(APP)
    words = subject.client("idle", ip, str(port), *map(str, COUNTS))
    load = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert load.stdin is not None
    assert load.stdout is not None
    found: Sample = {"base": base}
    try:
        for count in COUNTS:
            answer = json.loads(load.stdout.readline() or "{}")
            if answer.get("open") != count or "example" in answer:
                raise SampleFailed(f"{subject.name}: {count} connections could not be held: {answer}")
            found[f"each_{count}"] = (machine.resident_kib(subject.pids) - base) / count
            load.stdin.write("\n")
            load.stdin.flush()
        if not json.loads(load.stdout.readline() or "{}").get("alive"):
            raise SampleFailed(f"{subject.name}: dropped connections that were to be kept")
    finally:
        load.kill()
        load.wait()
        load.stdin.close()
        load.stdout.close()
    return found


def stream(subject: Subject, seconds: float) -> Sample:
    """GETs of 64 MiB; `growth` is how much more than before was resident at the most, in KiB."""
    before = machine.resident_kib(subject.pids)
    machine.forget_peak(subject.pids)
    words = ("--connections", "1", "--size", str(64 << 20), "--path", "/64m")
    found = measure.client(subject, APP, seconds, "bulk", *words, mode="get")
    return {**found, "growth": max(0, machine.peak_kib(subject.pids) - before)}
