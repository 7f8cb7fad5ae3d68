"""Routing: that it is what the specification says, what it costs, and that changing it costs no request.

Each is a process of its own, of the code that runs in the proxies; `conformance` brings up a lab of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

from tests.acceptance.figure import ByTime, Figure, Impossible, Outcome, judged
from tests.acceptance.mesh import Mesh

EXAMPLES, ROUNDS, CHANGES = 20_000, 10, 1000
MOST = 1.5
"""Times the cost of a request with 1 rule."""


def _python(*words: str, seconds: float, **variables: str) -> str:
    command = [sys.executable, *words]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(words)} exited with {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
    return done.stdout


def _tests(path: str, seconds: float, *words: str, **variables: str) -> str:
    limit = ("--timeout", str(int(seconds)))
    return _python("-m", "pytest", "-q", "-s", *limit, *words, path, seconds=seconds, **variables)


def _matching(mesh: Mesh) -> Outcome:
    name = "test_what_is_looked_up_is_what_the_specification_says"
    path, each = f"packages/data-plane/tests/test_matching.py::{name}", EXAMPLES // ROUNDS
    for seed in range(ROUNDS):  # Hypothesis remembers every example of a run: 20,000 would take more than a gigabyte
        _tests(path, 1500, f"--hypothesis-seed={seed}", TULLE_EXAMPLES=str(each))
    return Outcome(f"{EXAMPLES:,} random tables, up to 8 requests each: look-up, plain reading and explanation agree")


def _cost(mesh: Mesh) -> Outcome:
    found: dict[str, Any] = json.loads(_python("-m", "tests.acceptance.routing_cost", seconds=300))
    costs, compiled = found["costs"], found["compiled"]
    ratios = {kind: costs[f"{kind} 1000"] / costs[f"{kind} 1"] for kind in ("exact", "prefix", "header")}
    return judged(
        ", ".join(f"{kind} {ratio:.2f}x ({costs[f'{kind} 1']:.0f} us)" for kind, ratio in ratios.items())
        + f"; {compiled['rules']:,.0f} rules: read in {compiled['parse_seconds']:.2f} s, compiled in "
        f"{compiled['compile_seconds']:.2f} s, sent as {compiled['message_bytes'] / 1024:.0f} KiB, built by a proxy in "
        f"{compiled['build_seconds']:.2f} s and {compiled['proxy_bytes'] / 2**20:.1f} MiB",
        *[(ratio <= MOST, ByTime(f"{kind}: {ratio:.2f}x")) for kind, ratio in ratios.items()],
    )


def _changes(mesh: Mesh) -> Outcome:
    said = _tests("tests/conformance/test_changes.py", 5000, TULLE_CHANGES=str(CHANGES))
    found = re.search(r"changes: (\{.*\})", said)
    if found is None:
        raise AssertionError(f"no figure in {said[-300:]!r}")
    report: dict[str, int] = json.loads(found[1])
    return judged(
        f"{report['failed']} failed of {report['asked']:,}, {report['mixed']} of a mixture; "
        f"{report['changes']:,} changes",
        (report["failed"] == 0 and report["mixed"] == 0, "requests failed, or came from two configurations"),
        (report["asked"] >= 100 * CHANGES, f"only {report['asked']} requests"),
    )


REFUSED = ("test_routes_refused.py", "test_objects_refused.py")
KINDS = ("HTTPRoute", "GRPCRoute", "ReferenceGrant", "MeshPolicy")
INVALID = 100


def _invalid(mesh: Mesh) -> Outcome:
    """By the control plane's core, with good objects of all kinds in force, which must hold unchanged after each."""
    words = [f"packages/control-plane/tests/{name}" for name in REFUSED]
    said = _python("-m", "pytest", "-v", "-k", "wrong_field or wrong_object", *words, seconds=300)
    passed = re.findall(r"^\S+::(test_a_wrong_\w+)\[(\w+)-.* PASSED", said, re.MULTILINE)
    counts = dict.fromkeys(KINDS, 0)
    for test, kind in passed:
        counts[kind if test == "test_a_wrong_object_is_refused_and_nothing_in_force_changes" else KINDS[0]] += 1
    return judged(
        f"{len(passed)} refused, each with its field's path and what would be right ("
        + ", ".join(f"{kind} {count}" for kind, count in counts.items()) + "); after none had anything changed",
        (len(passed) >= INVALID, f"only {len(passed)} objects"),
        (all(counts.values()), f"none of {', '.join(kind for kind, count in counts.items() if not count)}"),
    )


def _conformance(mesh: Mesh) -> Outcome:
    """In a lab of its own, so that the shared one's proxies know no more than they did."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/conformance"]
    environment = {**os.environ, "TULLE_CONFORMANCE": "lab"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    found = re.search(r"^conformance: (\{.*\})$", done.stdout, re.MULTILINE)
    if found is None:
        raise Impossible(f"the suite did not run: {(done.stdout + done.stderr)[-600:]}")
    report: dict[str, Any] = json.loads(found[1])
    if not report["hold"]:
        raise Impossible(done.stdout[-600:])
    wrong = re.findall(r"^(?:FAILED|ERROR|SKIPPED) (?:tests/conformance/)?(\S+(?: \S+)?)", done.stdout, re.MULTILINE)
    return judged(
        f"{report['hold']} of {report['rows']} rows hold, in a {report['form']}",
        (report["form"] == "lab", "not in a lab"),
        (done.returncode == 0 and report["hold"] == report["rows"], ", ".join(wrong) or done.stdout[-300:]),
    )


FIGURES = (
    Figure("conformance", "every row of docs/conformance.md that has a test holds, asked in a lab", _conformance),
    Figure("invalid-objects", f"at least {INVALID} refused with path and remedy; nothing changes", _invalid),
    Figure("routing-cost", f"a request with 1,000 rules on its Service at most {MOST}x that with 1", _cost),
    Figure("routing-matching", f"{EXAMPLES:,} examples", _matching, full=True),
    Figure("routing-changes", f"0 failed of {100 * CHANGES:,}; no answer of a mixture", _changes, full=True),
)
