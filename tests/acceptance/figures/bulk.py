"""Many bytes through opaque TCP, both ways, over a connection that is closed by halves, to readers that stall."""

from __future__ import annotations

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import megabytes

MIB = 1 << 20
FLAT = 4_000_000
"""Bytes that a proxy may grow by: sockets' buffers are the kernel's, and one piece each way is a quarter of a MiB."""


def _bulk(mesh: Mesh, size: int) -> Outcome:
    mesh.up()
    mesh.apply("bulk")
    mesh.script("bulk", "bulk", "9000", "--bytes", str(MIB), "--stall", "0")  # what is only ever made once
    ends = [mesh.pod(app)["metadata"]["name"] for app in ("client", "bulk")]
    watch = mesh.watch_memory()
    report = mesh.script("bulk", "bulk", "9000", "--bytes", str(size), seconds=300)
    seen = watch.enough()
    grown = max(seen[pod]["peak_bytes"] - seen[pod]["first_bytes"] for pod in ends)
    rate, mib = 2 * size / report["seconds"], size // MIB
    return judged(
        f"{mib} MiB up, {mib} MiB down after half-close; memory +{megabytes(grown)}; {megabytes(rate)}/s",
        (report["up_bytes"] == size and report["up_equal"], f"up: {report['up_bytes']} bytes, or another hash"),
        (report["down_bytes"] == size and report["down_equal"], f"down: {report['down_bytes']} bytes, or another hash"),
        (grown <= FLAT, f"a proxy grew by {megabytes(grown)}, more than {megabytes(FLAT)}"),
    )


_BAR = "hashes equal, half-close kept, memory of both proxies flat: at most +4 MB"
FIGURES = (
    Figure("bulk-64mb", _BAR, lambda mesh: _bulk(mesh, 64 * MIB)),
    Figure("bulk-1gb", _BAR, lambda mesh: _bulk(mesh, 1024 * MIB), full=True),
)
