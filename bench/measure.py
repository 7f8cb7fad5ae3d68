"""One sample: the proxy's CPU time before, a load from its pod, its CPU time after.

Owns running load programs and reading what they print. A sample is a flat dict of numbers, as the results file has it;
`SampleFailed` where a load says that anything at all went wrong, since figures of failing requests mean nothing.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.services import APP, Service
from bench.subjects.subject import Subject
from bench.world import last_words

LOAD = Path(__file__).with_name("load")

Sample = dict[str, float]

FIELDS = ("-H", "Host: app", "-H", "User-Agent: tulle-bench", "-H", "Accept: */*")


class SampleFailed(Exception):
    """A load met an error, or hangs."""


def sample(subject: Subject, words: list[str], seconds: float, *, interrupt: bool = False) -> Sample:
    """Run a load on `subject` for about so long. `interrupt`: it has to be told to end, and prints upon SIGINT."""
    before = machine.cpu(subject.pids)
    load = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if interrupt:
            time.sleep(seconds)
            load.send_signal(signal.SIGINT)
        out, err = load.communicate(timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        raise SampleFailed(f"{subject.name}: the load did not end") from None
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    spent = machine.cpu(subject.pids) - before
    if load.returncode:
        raise SampleFailed(f"{subject.name}: {words[-1]} exited with {load.returncode}: {err[-500:]} "
                           f"{last_words(subject.name)[-300:]}")
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    if found["errors"] or not found["operations"]:
        raise SampleFailed(f"{subject.name}: {found} {last_words(subject.name)[-300:]}")
    share = spent.system / (spent.user + spent.system) if spent.user + spent.system else 0.0
    found["rate"] = found["operations"] / found["seconds"]
    if subject.pids:
        found |= {"cpu": spent.total / found["operations"], "system": share, "busy": spent.total / found["seconds"]}
    return found


def wrk(
    subject: Subject, seconds: float, *, connections: int, path: str = "/", fresh: bool = False, script: str = "report"
) -> Sample:
    """wrk's closed loop. `fresh`: a new connection for each request."""
    ip, port = subject.address(APP)
    options = ("-t1", f"-c{connections}", "-d600s", "--timeout", "10s", "-s", str(LOAD / f"{script}.lua"))
    fields = (*FIELDS, "-H", "Connection: close") if fresh else FIELDS
    words = subject.wrk(*options, *fields, f"http://{ip}:{port}{path}")
    return sample(subject, words, seconds, interrupt=True)


def client(subject: Subject, service: Service, seconds: float, script: str, *words: str, mode: str = "") -> Sample:
    """One of our own clients (load/)."""
    ip, port = subject.address(service)
    first = [mode] if mode else []
    return sample(subject, subject.client(script, *first, ip, str(port), "--seconds", str(seconds), *words), seconds)
