"""What the largest proxy holds when all figures have been measured: forty Services, a route of every kind, plugins that
misbehaved. The bar is footprint.py's, after a mesh's ordinary day."""

from __future__ import annotations

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import megabytes


def _memory(mesh: Mesh) -> Outcome:
    mesh.up()
    sizes = {pod: row["resident_bytes"] for pod, row in mesh.proxies().items()}
    largest = max(sizes, key=lambda pod: sizes[pod])
    return judged(f"{megabytes(sizes[largest])} resident, the largest of {len(sizes)} ({largest})")


FIGURES = (Figure("proxy-memory-end", "resident memory after every figure; no bar", _memory),)
