"""A long HTTP answer to a client that reads slowly: what waits, waits in the kernel and at the server, in no proxy."""

from __future__ import annotations

from typing import Any

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import megabytes

MIB = 1 << 20
FLAT = 4_000_000
"""Bytes; see bulk.py."""
FRAMINGS = ("length", "chunked")


def _slow_reader(mesh: Mesh, size: int) -> Outcome:
    """`size` bytes in all, half of them with a length and half in chunks."""
    mesh.up()
    mesh.apply("answers")
    ends = [mesh.pod(app)["metadata"]["name"] for app in ("client", "answers")]
    half = size // len(FRAMINGS)
    _read(mesh, "length", MIB, stall=0)  # what is only ever made once
    watch = mesh.watch_memory()
    reports = [_read(mesh, framing, half) for framing in FRAMINGS]
    seen = watch.enough()
    grown = max(seen[pod]["peak_bytes"] - seen[pod]["first_bytes"] for pod in ends)
    seconds = sum(report["seconds"] for report in reports)
    whole = all(report["bytes"] == half and report["equal"] and not report["broken"] for report in reports)
    return judged(
        f"{size // MIB} MiB in {seconds:.0f} s, {' and '.join(FRAMINGS)}; memory +{megabytes(grown)}",
        (whole, f"not what was sent: {reports}"),
        ([report["framing"] for report in reports] == list(FRAMINGS), "another framing than the server's"),
        (grown <= FLAT, f"a proxy grew by {megabytes(grown)}, more than {megabytes(FLAT)}"),
    )


def _read(mesh: Mesh, framing: str, size: int, stall: float = 1.0) -> dict[str, Any]:
    words = ("--framing", framing, "--size", str(size), "--stall", f"{stall:g}")
    report: dict[str, Any] = mesh.script("slow_reader", "answers", *words, seconds=300)
    return report


_BAR = "all of it, to a reader of at most 40 MB/s that stalls first; memory of both proxies flat: at most +4 MB"
FIGURES = (
    Figure("slow-reader-200mb", _BAR, lambda mesh: _slow_reader(mesh, 200 * MIB)),
    Figure("slow-reader-1gb", _BAR, lambda mesh: _slow_reader(mesh, 1024 * MIB), full=True),
)
