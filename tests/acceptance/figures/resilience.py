"""What policies promise, counted at both ends: retries and their budget, circuits, limits, faults, mirrors."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

from tests.acceptance.figure import ByTime, Figure, Impossible, Outcome, judged
from tests.acceptance.figures.balancing import failed
from tests.acceptance.mesh import Mesh
from tests.acceptance.targets import Made, Report, Targets, asking, leave
from tests.acceptance.workspace import REPOSITORY

REQUESTS = 10_000
FIVE = range(1, 6)
OUTAGE_REQUESTS, WELL, FLAKY_REQUESTS = 3000, 1000, 5000
BAD, BEFORE = 3, 500
LIMIT, TIMES, LIMIT_SECONDS = 200, 3, 10.0
FAULTS = 10.0
COPIES = 50.0
MIRROR_SECONDS, MIRROR_ROUNDS, MIRROR_REQUESTS, MIRROR_CONNECTIONS = 0.02, 20, 36, 6
"""The original's server takes 20 ms, as one that does some work; at a load at which no processor is full, so that what
is measured is waiting, and not that a copy is work as well.
"""
CHANGES = ["open for 30 s", "half-open", "open for 60 s", "half-open", "open for 120 s", "half-open", "closed"]
TRACE = "plugins/policies/circuit-breaker/tests/test_trace.py"


def _outage(mesh: Mesh) -> Outcome:
    with asking(mesh, Made("outage", FIVE, {"retry": {"attempts": 3}})) as targets:
        targets.be(status=503)
        [report] = targets.ask("http://outage/", requests=OUTAGE_REQUESTS)
        came = sum(targets.counts().values())
    ratio = came / OUTAGE_REQUESTS
    return judged(
        f"{ratio:.4f} requests reach it for each one made, at {OUTAGE_REQUESTS / report['seconds']:.0f}/s",
        (report["requests"] == OUTAGE_REQUESTS, f"only {report['requests']} were made"),
        (not report["served"], f"{sum(report['served'].values())} were answered with 200 in a total outage"),
        (ratio > 1, "nothing was retried"),
        (ratio <= 1.2, "more than 1.2"),
    )


def _some_fail(mesh: Mesh) -> Outcome:
    with asking(mesh, Made("flaky", FIVE, {"retry": {"attempts": 5}})) as targets:
        targets.be(status=503, share=30, after=WELL // len(FIVE))  # a budget is what good times leave
        [report] = targets.ask("http://flaky/", requests=WELL + FLAKY_REQUESTS, connections=32)
        came = sum(targets.counts().values())
    good = (report["statuses"].get("200", 0) - WELL) / FLAKY_REQUESTS
    ratio = (came - WELL) / FLAKY_REQUESTS
    return judged(
        f"{good:.2%} good at the caller, {ratio:.3f} requests for each one made",
        (report["requests"] == WELL + FLAKY_REQUESTS, f"only {report['requests']} were made"),
        (good > 0.995, f"99.5% or less: {report['statuses']}"),
        (1.3 < ratio <= 1.6, "not between 1.3, without which none would be hidden, and 1.6"),
    )


def _circuit_states(mesh: Mesh) -> Outcome:
    words = [sys.executable, TRACE]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode or not (found := re.findall(r"^trace: (.*)$", done.stdout, re.MULTILINE)):
        raise Impossible(f"{TRACE} printed no trace: {done.stdout[-300:]} {done.stderr[-300:]}")
    told = str(found[0])
    changes = re.findall(r"(?:[\d.]+ s )(closed|half-open|open for \d+ s)", told)
    return judged(told, (changes == CHANGES, f"it should be {', '.join(CHANGES)}"))


def _bad_endpoint(mesh: Mesh) -> Outcome:
    with asking(mesh, Made("breaker", FIVE, {"circuit-breaker": {}})) as targets:
        targets.be(BAD, status=503)
        [report] = targets.ask("http://breaker/", requests=REQUESTS + BEFORE)
        ejections = targets.counted("circuit_breaker_ejections_total")
    late = sum(number >= BEFORE for number in report["failed_at"])
    return judged(
        f"{late} failed of the last {REQUESTS}, {len(report['failed_at']) - late} of the {BEFORE} before",
        (report["requests"] == REQUESTS + BEFORE, f"only {report['requests']} were made"),
        (len(report["failed_at"]) > late, "it never failed"),
        (ejections > 0, "nobody was ejected"),
        (late < REQUESTS / 1000, "1 in 1,000 or more"),
    )


def _rate_limit(mesh: Mesh) -> Outcome:
    with asking(mesh, Made("limited", FIVE, {"rate-limit": {"requests": LIMIT, "side": "client"}})) as targets:
        [report] = targets.ask("http://limited/", rate=LIMIT * TIMES, seconds=LIMIT_SECONDS, connections=32)
        came = sum(targets.counts().values())
    right, good = LIMIT * report["seconds"], report["statuses"].get("200", 0)
    refused = sum(count for status, count in report["statuses"].items() if status.startswith("429"))
    off = good / right - 1
    return judged(
        f"{good} admitted and {refused} refused of {report['requests']} in {report['seconds']:.2f} s: {off:+.2%}",
        (good == came, f"{came} came to the endpoints"),
        (good + refused == report["requests"], f"answered otherwise: {report['statuses']}"),
        (report["requests"] > (TIMES - 0.5) * right, ByTime("the load was less than 3x")),
        (abs(off) <= 0.02, ByTime("more than 2% off")),
    )


def _fault(mesh: Mesh) -> Outcome:
    with asking(mesh, Made("faulty", FIVE, {"fault": {"abort": {"status": 503, "percent": FAULTS}}})) as targets:
        [report] = targets.ask("http://faulty/", requests=REQUESTS)
        came = sum(targets.counts().values())
    aborted = report["statuses"].get("503 fault", 0)
    share = 100 * aborted / REQUESTS
    return judged(
        f"{share:.2f}%",
        (report["statuses"].get("200", 0) + aborted == REQUESTS, f"answered otherwise: {report['statuses']}"),
        (came == REQUESTS - aborted, f"{came} came to the endpoints, not {REQUESTS - aborted}"),
        (abs(share - FAULTS) <= 1, "more than a point away from 10%"),
    )


def _mirror(mesh: Mesh) -> Outcome:
    copied = {"service": "shadow", "port": 80, "percent": COPIES}
    made = (Made("plain", [1]), Made("copied", [1], {"mirror": copied}), Made("shadow", [2]))
    with asking(mesh, *made) as targets:
        [report] = targets.ask("http://copied/", requests=REQUESTS)
        came = targets.settled()
        targets.told("reset")
        targets.be(1, delay=MIRROR_SECONDS)
        plain, mirrored = _beside(targets)
        targets.be(2, hang=1)
        beside, hanging = _beside(targets)
    share = 100 * came[2] / REQUESTS
    ratios = [statistics.median(a / b for a, b in zip(one["p50"], other["p50"], strict=True))
              for one, other in ((mirrored, plain), (hanging, beside))]
    all_asked = MIRROR_REQUESTS * MIRROR_ROUNDS
    return judged(
        f"{share:.2f}% copied; p50 {ratios[0]:.3f} of that without, {ratios[1]:.3f} where the target hangs",
        failed(report, REQUESTS),
        *(failed(each, all_asked) for each in (plain, mirrored, beside, hanging)),
        (came[1] == REQUESTS, f"{came[1]} came to the original's endpoint"),
        (abs(share - COPIES) <= 1, "more than a point away from 50%"),
        (ratios[0] <= 1.05, ByTime("it delays the original")),
        (ratios[1] <= 1.05, ByTime("a target that hangs delays the original")),
    )


def _beside(targets: Targets) -> list[Report]:
    return targets.ask("http://plain/", "http://copied/", requests=MIRROR_REQUESTS, rounds=MIRROR_ROUNDS,
                       connections=MIRROR_CONNECTIONS)


def _last(mesh: Mesh) -> Outcome:
    try:
        return _mirror(mesh)
    finally:
        leave(mesh)


FIGURES = (
    Figure("retry-outage", "every endpoint fails: at most 1.2 requests reach them for each one made", _outage),
    Figure("retry-some-fail", "30% of tries fail: over 99.5% good at the caller, at most 1.6x load", _some_fail),
    Figure("circuit-states", "on a virtual clock: open, half-open, open twice as long, ..., closed", _circuit_states),
    Figure("bad-endpoint", "1 of 5 answers 503: under 1 in 1,000 failed once it is ejected", _bad_endpoint),
    Figure("rate-limit", "3x load for 10 s: what is admitted is within 2% of the limit", _rate_limit),
    Figure("fault", "10% of 10,000: within a point", _fault),
    Figure("mirror", "50% of 10,000: within a point; p50 at most 1.05 of none, also if its target hangs", _last),
)
