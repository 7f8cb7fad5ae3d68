"""Thousands of clients that never finish what they ask: little memory each, ended in time, and nobody else notices."""

from __future__ import annotations

import json

from tests.acceptance.figure import ByTime, Figure, Outcome, judged
from tests.acceptance.lone import LONE, lone_proxy
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import at_the_baseline, failures, megabytes, no_failures

CONNECTIONS = 9000
HEAD_SECONDS = 8.0
"""Not the default of 10, for speed; and not shorter, since all must be there before the first is ended."""
RATE = 2000
"""Connections opened a second. As many are then ended a second, each of which costs more than a request does: were
they opened as fast as they go, a machine that is busy besides would measure how it shares its processors.
"""
LATE = 5.0
"""Seconds: thousands of them end at about the same time, and each gets its answer."""
MOST = 12.0


def _slow_heads(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    with lone_proxy(mesh, TULLE_HEAD_SECONDS=f"{HEAD_SECONDS:g}"):
        before = mesh.script("own_proxy", client=LONE)
        good = mesh.load(client=LONE, at_least=300, rate=50, connections=2)
        slow = mesh.script("slow_heads", "bare", "--connections", str(CONNECTIONS), "--rate", str(RATE), client=LONE)
        report = good.enough()
        after = mesh.script("own_proxy", json.dumps(before), client=LONE)
    each = (slow["resident_most"] - slow["resident_before"]) / max(1.0, slow["open_most"]) / 1024
    answered = slow["ends"].get("408", 0)
    return judged(
        f"{each:.1f} KiB each of {slow['open_most']:.0f} at once; {answered} answered with 408, after "
        f"{slow['soonest_end']:.1f} to {slow['latest_end']:.1f} s; then {megabytes(slow['resident_after'])} resident; "
        f"a good client: {failures(report)}, slowest {report['slowest_seconds']:.1f} s",
        *no_failures(report),
        (slow["open_most"] >= CONNECTIONS, f"only {slow['open_most']:.0f} were open at once"),
        (each <= MOST, f"more than {MOST:g} KiB each"),
        (answered == CONNECTIONS, f"ended otherwise: {slow['ends']}, never: {slow['never_ended']}"),
        (slow["soonest_end"] >= HEAD_SECONDS, f"the first was ended before its {HEAD_SECONDS:g} s were over"),
        (slow["latest_end"] <= HEAD_SECONDS + LATE, ByTime(f"the last was ended more than {LATE:g} s late")),
        (slow["admin"]["failed"] == 0, f"the admin port did not answer {slow['admin']['failed']} times"),
        at_the_baseline(before, after),
    )


FIGURES = (
    Figure(
        "slow-heads",
        f"{CONNECTIONS:,} at once: at most {MOST:g} KiB each, all ended between {HEAD_SECONDS:g} and "
        f"{HEAD_SECONDS + LATE:g} s, a good client 0 failed",
        _slow_heads,
    ),
)
