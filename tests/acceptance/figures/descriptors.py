"""A proxy that may open no more files: it does not spin, can be asked how it is, serves who is there, and recovers."""

from __future__ import annotations

import time

from tests.acceptance.figure import ByTime, Figure, Outcome, judged
from tests.acceptance.lone import LONE, lone_proxy
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import at_the_baseline

FILES = 256
FOR_TRAFFIC = 192
"""What the proxy leaves to traffic of so many (descriptors.py of the data plane)."""
CONNECTIONS = 600
WINDOW = 5.0
BUSY = 10.0
"""Percent of one processor."""
ANSWER = 1.0
RECOVERS = 5.0
ALLOWED = {"200", "503 out-of-descriptors"}


def _descriptors(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    with lone_proxy(mesh, files=FILES) as pod:
        lone = mesh.pod("lone")

        def used() -> float:
            return mesh.metrics(lone).total("tulle_proxy_open_descriptors")

        held = mesh.background("hold", "bare", "--connections", str(CONNECTIONS), client=LONE)
        mesh.until(lambda: used() >= FOR_TRAFFIC or None, "the proxy's descriptors to be used up", 20)
        began = mesh.proxies()[pod]
        time.sleep(WINDOW)
        ended = mesh.proxies()[pod]
        report = held.enough()
    busy = 100 * (ended["cpu_seconds"] - began["cpu_seconds"]) / (ended["when"] - began["when"])
    slowest = report["slowest_look_seconds"]
    served = sum(report["statuses"].values())
    return judged(
        f"{report['descriptors']:.0f} of {FILES} descriptors in use, {served} connections served, "
        f"{report['waiting']} wait; {busy:.1f}% of a processor; "
        f"the admin port answered {report['looks']} times, in {slowest:.2f} s at most; "
        f"{sum(report['went_wrong'].values())} failed of {report['went_on']} on an open connection; "
        f"new ones served {report['recovered_seconds']:.2f} s after",
        (report["descriptors"] >= FOR_TRAFFIC and report["waiting"] > 0, "they were not used up: nothing was shown"),
        (busy <= BUSY, ByTime(f"more than {BUSY:g}%: it spins")),
        (report["looks"] > 0 and slowest <= ANSWER, ByTime(f"the admin port took longer than {ANSWER:g} s")),
        (report["statuses"].keys() <= ALLOWED, f"answered otherwise: {report['statuses']}"),
        (not report["went_wrong"] and report["went_on"] > 0, f"on an open connection: {report['went_wrong']}"),
        (report["recovered_seconds"] <= RECOVERS, ByTime(f"it took longer than {RECOVERS:g} s to recover")),
        at_the_baseline(report["before"], report["after"]),
    )


FIGURES = (
    Figure(
        "descriptors",
        f"used up: at most {BUSY:g}% of a processor, the admin port answers within {ANSWER:g} s, who is connected "
        f"0 failed; then served again within {RECOVERS:g} s",
        _descriptors,
    ),
)
