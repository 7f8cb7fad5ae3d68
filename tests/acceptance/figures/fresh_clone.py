"""What a newcomer does: clone, `make demo`. Cold, with everything still to be set up; then again; and nothing is left.

The clone is of the last commit, below this run's own folder, and gone afterwards. Packages come from pip's cache where
it has them, else from the package index, as they would for anybody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import Bar
from tests.acceptance.workspace import REPOSITORY

COLD, WARM = 240.0, 60.0


def _measure(mesh: Mesh) -> Outcome:
    mesh.down()  # two labs at once would share two processors
    clone = mesh.folder / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    try:
        _run("git", "clone", "-q", str(REPOSITORY), str(clone), folder=mesh.folder)
        bars: list[Bar] = []
        seconds = []
        for which, most in (("cold", COLD), ("warm", WARM)):
            began = time.monotonic()
            code, said = _run("make", "demo", folder=clone)
            seconds.append(time.monotonic() - began)
            bars += [
                (code == 0, f"{which}: `make demo` exited with {code}: {said[-500:]}"),
                (seconds[-1] < most, f"{which}: {seconds[-1]:.0f} s"),
            ]
        _, changed = _run("git", "status", "--porcelain", folder=clone)
    finally:
        shutil.rmtree(clone, ignore_errors=True)
    return judged(
        f"cold {seconds[0]:.0f} s, warm {seconds[1]:.0f} s",
        *bars,
        (not changed.strip(), f"git status is not clean: {changed.strip()[:200]}"),
    )


def _run(*command: str, folder: Path) -> tuple[int, str]:
    """Exit status and output, in an environment that knows nothing of ours."""
    ours = ("TULLE_", "VIRTUAL_ENV", "MAKE", "MFLAGS", "ONLY", "FULL", "VERBOSE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command, cwd=folder, env={**clean, "TULLE_LAB_STATE": str(folder / ".tulle" / "lab")}, capture_output=True,
        text=True, timeout=600, check=False, stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


_BAR = "`make demo` exits 0 in under 4 minutes cold, 60 s warm; git status clean"
FIGURES = (Figure("fresh-clone", _BAR, _measure, full=True),)
