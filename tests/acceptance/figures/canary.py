"""`tulle canary` under load: a good version gets everybody, a bad one is taken back, a killed command goes on."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from tests.acceptance.figure import Figure, Outcome
from tests.acceptance.lab import TULLE
from tests.acceptance.mesh import NAMESPACE, Mesh
from tests.acceptance.words import Report, under_load

WORDS = ("canary", "app-b", "--to", "app-b2", "-n", NAMESPACE, "-o", "json",
         "--steps", "5,25,50,100", "--every", "4s", "--min-success", "99.5", "--max-p99", "2s")  # fmt: skip
SECONDS = 90
ERRORS = 0.05
"""What the bad version fails of its requests."""
SHARE = 0.05
"""The first step."""
FOUND_BY = 2
"""So many failures it takes to see it: 99.5% of 200 requests allow one. Where chance has them come early, there have
been few requests to compare them with."""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: demo, annotations: {team: shop}}
spec:
  parentRefs: [{group: "", kind: Service, name: app-b, port: 80}]
  rules: [{backendRefs: [{name: app-b, port: 80}]}]
"""


def events(out: str) -> list[dict[str, Any]]:
    """What the command told, line by line."""
    return [json.loads(line) for line in out.splitlines()]


def way(told: list[dict[str, Any]]) -> str:
    """ "5% 25% 50% 100% done": the steps, and how it ended."""
    steps = [f"{event['percent']}%" for event in told if event["event"] in ("step", "resumed")]
    return " ".join([*steps, *(event["event"] for event in told if event["event"] in ("done", "rolled-back"))])


def by_version(report: Report) -> dict[str, int]:
    """Good answers by version."""
    found: dict[str, int] = {}
    for who, count in report["served"].items():
        version = who.split(" ", 1)[0]
        found[version] = found.get(version, 0) + count
    return found


def at_most(expected: float) -> float:
    """What a count that is expected to be so large does not exceed by chance: four standard deviations (Poisson)."""
    return expected + 4 * math.sqrt(expected)


def route_as_applied(mesh: Mesh) -> Any:
    """The route's own part: what its server fills in is left out."""
    found = mesh.lab.item("httproute", "shop", NAMESPACE)
    return {**found["metadata"].get("annotations", {})}, found["spec"]


def put_back(mesh: Mesh) -> None:
    """As if there had been no canary."""
    mesh.tulle("canary", "app-b", "-n", NAMESPACE, "--abort")


def _good(mesh: Mesh) -> Outcome:
    mesh.up()
    load = mesh.load(at_least=1)
    try:
        done = mesh.lab.tulle(*WORDS, seconds=SECONDS)
        report = load.enough()
        after = mesh.load(at_least=500).enough()
        left = mesh.lab.items("httproutes", NAMESPACE)
    finally:
        put_back(mesh)
    gone = not mesh.lab.items("httproutes", NAMESPACE)
    told = events(done.out)
    return under_load(
        report, f"{way(told)} in {report['seconds']:.0f} s; then {by_version(after)}",
        (done.code == 0, f"exit status {done.code}: {done.err.strip()}"),
        (way(told) == "5% 25% 50% 100% done", "not step by step"),
        (list(by_version(after)) == ["v2"] and not after["failed"], "not all are at app-b2"),
        (len(left) == 1, "the route that was made is not there"),
        (gone, "--abort left the route that had been made"),
    )


@contextlib.contextmanager
def fault(mesh: Mesh, rate: float) -> Iterator[None]:
    """app-b2 fails so many of its requests."""
    knobs = ("node", "curl", "-sS", "--fail-with-body", "-X", "POST", f"http://app-b2.{NAMESPACE}/knobs", "-d")
    mesh.lab.exec(*knobs, f"failure_rate={rate}")
    try:
        yield
    finally:
        mesh.lab.exec(*knobs, "failure_rate=0")


def _bad(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply_text(ROUTE)
    before = route_as_applied(mesh)
    try:
        with fault(mesh, ERRORS):
            load = mesh.load(at_least=1)
            began = time.monotonic()
            done = mesh.lab.tulle(*WORDS, seconds=SECONDS)
            seconds = time.monotonic() - began
            report = load.enough()
        after = route_as_applied(mesh)
    finally:
        put_back(mesh)
        mesh.lab.run("delete", "httproute", "shop", "-n", NAMESPACE)
    told = events(done.out)
    requests, failed = report["requests"], report["failed"]
    at_canary = by_version(report).get("v2", 0) + failed
    text = (
        f"{way(told)} in {seconds:.0f} s; {at_canary} of {requests} requests ({100 * at_canary / requests:.1f}%) went "
        f"to it, {failed} ({100 * failed / requests:.2f}%) failed"
    )
    return Outcome(text, tuple(words for holds, words in (
        (done.code == 1, f"exit status {done.code}: {done.err.strip()}"),
        (way(told) == "5% rolled-back", "not rolled back at the first step"),
        (failed > 0, "nothing failed: the figure proves nothing"),
        (at_canary <= at_most(SHARE * requests), "more than its share went to it"),
        (failed <= FOUND_BY + at_most(SHARE * ERRORS * requests), "more failed than its share of errors"),
        (after == before, f"the route is not as it was found: {after}, not {before}"),
    ) if not holds))  # fmt: skip


def _killed(mesh: Mesh) -> Outcome:
    mesh.up()
    load = mesh.load(at_least=1)
    try:
        with subprocess.Popen([TULLE, *WORDS], env=mesh.lab.environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                first = list(_until(process.stdout, "25%"))
            finally:
                process.kill()
        weights = _weights(mesh)
        done = mesh.lab.tulle(*WORDS, seconds=SECONDS)
        report = load.enough()
        reached = _weights(mesh)
    finally:
        put_back(mesh)
    told = events(done.out)
    return under_load(
        report, f"{way(events(''.join(first)))} SIGKILL; started again: {way(told)}",
        (weights == [75, 25], f"the weights did not stay: {weights}"),
        (done.code == 0, f"exit status {done.code}: {done.err.strip()}"),
        (way(told) == "25% 50% 100% done", "it did not go on where it was"),
        (reached == [0, 100], f"the weights are {reached}"),
    )


def _until(lines: Iterator[str], step: str) -> Iterator[str]:
    """Lines up to the one that tells of that step."""
    for line in lines:
        yield line
        if f"{json.loads(line)['percent']}%" == step:
            return


def _weights(mesh: Mesh) -> list[int]:
    (found,) = mesh.lab.items("httproutes", NAMESPACE)
    return [ref["weight"] for rule in found["spec"]["rules"] for ref in rule["backendRefs"]]


FIGURES = (
    Figure("canary-good", "5, 25, 50, 100%, then all at app-b2; 0 failed; --abort leaves nothing", _good),
    Figure("canary-bad", "5% errors: rolled back at the first step, having cost at most its share (5% went to it, 5% "
           "of which failed, within 4 standard deviations, and the 2 it was found by); the route is as it was found",
           _bad),
    Figure("canary-killed", "SIGKILL at 25%, started again: 50, 100%, done; 0 failed", _killed),
)
