"""One proxy, very many requests of every kind, and what it holds at their end: as much as at their beginning."""

from __future__ import annotations

from collections.abc import Sequence

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.lone import LONE, lone_proxy
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import at_the_baseline, failures, megabytes, no_failures

CONNECTIONS = 16


def slope(samples: Sequence[Sequence[float]]) -> float:
    """KiB for each 1,000 requests: the straight line that is nearest (least squares) to the later half of `samples`,
    which are (requests made, bytes resident). NaN for fewer than 10 of them.
    """
    half = [each for each in samples if each[0] >= samples[-1][0] / 2]
    if len(half) < 10:
        return float("nan")
    count = len(half)
    middle = sum(made for made, _ in half) / count
    mean = sum(size for _, size in half) / count
    above = sum((made - middle) * (size - mean) for made, size in half)
    return above / sum((made - middle) ** 2 for made, _ in half) * 1000 / 1024


def _many(mesh: Mesh, requests: int, most: float) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    with lone_proxy(mesh):
        words = ("--requests", str(requests), "--connections", str(CONNECTIONS))
        report = mesh.script("many", "bare", *words, seconds=960, client=LONE)
    before, after, samples = report["before"], report["after"], report["samples"]
    steep, grown = slope(samples), samples[-1][1] - samples[0][1]
    kept = ", ".join(f"{after[name]} {name} (before: {before[name]})" for name in ("tasks", "descriptors"))
    return judged(
        f"{failures(report)}; {kept}; {steep:+.2f} KiB for each 1,000 in the last half, {megabytes(grown)} in all; "
        f"{report['requests'] / report['seconds']:.0f}/s",
        *no_failures(report),
        at_the_baseline(before, after),
        (steep < most, f"memory grows by {most:g} KiB or more for each 1,000 requests"),
    )


FIGURES = (
    Figure(
        "requests-60k",
        "0 failed; tasks and descriptors as before; memory of the last half: under 50 KiB for each 1,000",
        lambda mesh: _many(mesh, 60_000, 50.0),
    ),
    Figure(
        "requests-1m",
        "0 failed; tasks and descriptors as before; memory of the last half: under 1 KiB for each 1,000",
        lambda mesh: _many(mesh, 1_000_000, 1.0),
        full=True,
    ),
)
