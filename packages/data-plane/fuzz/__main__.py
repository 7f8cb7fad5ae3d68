"""All targets, or those that are named, one after the other: `scripts/fuzz [--seconds N] [TARGET...]`.

Owns the bounds (time, memory, seconds an input) and what is said of each target: a line, and of a finding the input as
Python writes it, so that it can become a row in tests/wire/test_wire_findings.py. Exits 1 when there is a finding, and
0 with a loud line where there is no atheris for this Python.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("request-head", "response-head", "chunked", "detect", "encode")
MEMORY_MIB = 256
"""Resident; a run needs about 50."""
LONGEST_INPUT = 2048
SECONDS_AN_INPUT = 10
"""An input that takes longer is a finding: all are done in a millisecond or so, unless something is quadratic."""


def main() -> int:
    """Fuzz; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="fuzz the HTTP/1.1 codec")
    parser.add_argument("--seconds", type=int, default=15, help="a target (default: 15)")
    parser.add_argument("--seed", type=int, default=0, help="of the search; 0, the default, is another one each time")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)} (default: all)")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if given.seconds < 1:
        parser.error("--seconds: at least 1")
    if importlib.util.find_spec("atheris") is None:
        print(
            f"fuzz: SKIPPED, NOTHING WAS FUZZED: there is no atheris for Python {sys.version.split()[0]} on this "
            "platform. The seeds and all findings so far run in the tests all the same (tests/wire).",
            file=sys.stderr,
        )
        return 0
    found = [name for name in given.targets or NAMES if not fuzz(name, given.seconds, given.seed)]
    return 1 if found else 0


def fuzz(name: str, seconds: int, seed: int) -> bool:
    """Run one target and say how it went: True if nothing was found. Its folder and process are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tulle-fuzz-") as folder:
        run = subprocess.run(
            [sys.executable, "-m", "fuzz.run", name, folder, f"-max_total_time={seconds}", f"-seed={seed}",
             f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={LONGEST_INPUT}", f"-timeout={SECONDS_AN_INPUT}",
             "-print_final_stats=1", "-verbosity=1"],
            cwd=Path(__file__).parent.parent, capture_output=True, text=True, errors="replace", timeout=seconds + 120,
            check=False,
        )  # fmt: skip
        inputs = [path for kind in ("crash", "timeout", "oom", "slow-unit") for path in Path(folder).glob(f"{kind}-*")]
        figures = dict(re.findall(r"^stat::(\w+):\s*(\d+)", run.stderr, re.MULTILINE))
        covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", run.stderr)
        if run.returncode == 0 and not inputs:
            branches, _, kept = covered[-1] if covered else ("?", "?", "?")
            print(
                f"  ok    {name}: {figures.get('number_of_executed_units', '?')} inputs in {seconds} s, "
                f"{branches} branches, {kept} inputs kept, {figures.get('peak_rss_mb', '?')} MiB",
                flush=True,
            )
            return True
        print(f"  FOUND {name}: make each of these a row of FINDINGS in tests/wire/test_wire_findings.py, then mend it")
        for path in inputs:
            print(f"        {path.name.partition('-')[0]}: ({name!r}, {path.read_bytes()!r}),")
        print("\n".join(_story(run.stdout, run.stderr)), flush=True)
        return False


def _story(out: str, err: str) -> list[str]:
    """Of the output, what tells of the failure: the traceback that atheris prints, else the end."""
    _, mark, after = out.partition("=== Uncaught Python exception: ===")
    if not mark:
        _, mark, after = err.partition("=== Uncaught Python exception: ===")
    lines = (after or err or out).strip().splitlines()
    return [f"        {line[:2000]}" for line in (lines[:40] if mark else lines[-25:])]


if __name__ == "__main__":
    sys.exit(main())
