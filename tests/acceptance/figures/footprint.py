"""What one proxy costs: resident memory with everything on, after load; and its start."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import NAMESPACE, Mesh
from tests.acceptance.words import megabytes, no_failures

MOST = 32_000_000
REQUESTS = 10_000


def _memory(mesh: Mesh) -> Outcome:
    """Of all proxies of the lab the largest, after all that ran before, and after a load of its own."""
    mesh.up()
    report = mesh.load(at_least=REQUESTS, rate=2000).enough()
    found = mesh.proxies()
    sizes = {pod: row["resident_bytes"] for pod, row in found.items()}
    largest = max(sizes, key=lambda pod: sizes[pod])
    peak = megabytes(found[largest]["peak_bytes"])
    return judged(
        f"{megabytes(sizes[largest])} resident, the largest of {len(sizes)} ({largest}); peak {peak}",
        *no_failures(report),
        (len(sizes) >= 5, f"only {len(sizes)} proxies were found"),
        (sizes[largest] <= MOST, f"more than {megabytes(MOST)}"),
    )


def _start(mesh: Mesh) -> Outcome:
    """From the kernel's time of the process's start to the proxy's own line that it is ready. No bar."""
    mesh.up()
    waits = sorted(round(seconds * 1000) for seconds in _waits(mesh))
    if not waits:
        return judged("no figure", (False, "no proxy said when it was ready"))
    return judged(f"{waits[len(waits) // 2]} ms in the middle, {waits[0]} to {waits[-1]} ms, of {len(waits)} proxies")


def _waits(mesh: Mesh) -> list[float]:
    found = []
    for pod, row in mesh.proxies().items():
        if any(item["metadata"]["name"] == pod for item in mesh.lab.items("pods", NAMESPACE)):
            said = mesh.lab.run("logs", pod, "-n", NAMESPACE, "-c", "tulle-proxy")
            found += [at - row["started"] for at in _ready_at(said)]
    return found


def _ready_at(said: str) -> list[float]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines() if '"ready"' in line]
    ready = [line for line in lines if line.get("message") == "ready"]
    return [datetime.fromisoformat(line["time"]).timestamp() for line in ready[:1]]


FIGURES = (
    Figure("proxy-start", "process start to ready; no bar", _start),
    Figure("proxy-memory", "at most 32 MB resident, everything on, after load", _memory),
)
