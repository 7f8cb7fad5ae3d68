"""A large cluster: what a thousand Services and a thousand proxies cost the control plane (tests/acceptance/scale)."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.acceptance.figure import ByTime, Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import megabytes
from tests.acceptance.workspace import REPOSITORY

SEEN_WITHIN = 1.0
MOST_MEMORY = 500_000_000
WORDS = (sys.executable, "-m", "tests.acceptance.scale")


def _scale(mesh: Mesh) -> Outcome:
    done = subprocess.run(WORDS, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        return Outcome("no figure", (done.stderr.strip().splitlines()[-1],))
    found = json.loads(done.stdout)
    return judged(
        f"{found['proxies']} proxies in sync after {found['first_sync_seconds']:.1f} s; a change at all of them: p50 "
        f"{found['change_p50']:.2f} s, p99 {found['change_p99']:.2f} s, {found['change_cpu_seconds']:.2f} s of CPU; "
        f"{megabytes(found['resident'])}; 200 came back at once in {found['back_seconds']:.1f} s, and were sent "
        f"{found['sent_again']} destinations again",
        (found["change_p99"] <= SEEN_WITHIN, ByTime(f"p99: more than {SEEN_WITHIN:g} s")),
        (found["resident"] <= MOST_MEMORY, f"more than {megabytes(MOST_MEMORY)}"),
        (found["sent_again"] == 0, "what is held need not be sent again"),
    )


FIGURES = (
    Figure("control-plane-scale", "1,000 Services x 10 endpoints, 1,000 proxies that call 10 each: a change is at all "
           "of them with a p99 under 1 s; under 500 MB", _scale, full=True),
)
