"""`scripts/bench`: measures, prints a table, writes bench/results/TIME.json.

    make bench              about a minute: the rows for daily use
    make bench FULL=1       half an hour: all rows, and docs/performance.md is written anew
    scripts/bench --rows keepalive-16,get-1m --rounds 9 --seconds 2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

from bench import document
from bench.figures import LATEST, RESULTS
from bench.measure import SampleFailed
from bench.report import report
from bench.rows import BY_NAME, ROWS, Row
from bench.run import Run, say
from bench.world import Broken

LEAST_ROUNDS = 5
"""A run of fewer is not published."""


def parse(words: list[str]) -> argparse.Namespace:
    """The command line. Raises SystemExit."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all rows")
    parser.add_argument("--rows", default="", help="only these: " + ", ".join(BY_NAME))
    parser.add_argument("--rounds", type=int, default=5, help="of each row (default 5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 0.4, full 2)")
    options = parser.parse_args(words)
    unknown = [name for name in names(options.rows) if name not in BY_NAME]
    if unknown or options.rounds < 1:
        parser.error(f"no such rows: {', '.join(unknown)}" if unknown else "--rounds must be 1 or more")
    return options


def names(text: str) -> list[str]:
    """Of a comma list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def wanted(options: argparse.Namespace) -> list[tuple[Row, tuple[str, ...]]]:
    """Rows, and the subjects of each."""
    if options.rows:
        chosen = set(names(options.rows))
        chosen |= {needed for name in chosen for needed in BY_NAME[name].needs}
        return [(row, row.subjects) for row in ROWS if row.name in chosen]
    if options.full:
        return [(row, row.subjects) for row in ROWS]
    return [(row, row.quick) for row in ROWS if row.quick]


def main() -> int:
    """Exit status."""
    options = parse(sys.argv[1:])
    began = time.monotonic()
    run = Run(wanted(options), rounds=options.rounds, seconds=options.seconds or (2.0 if options.full else 0.4))
    try:
        result: dict[str, Any] = run.run()
    except (Broken, SampleFailed) as error:
        say(str(error))
        return 1
    taken = datetime.now(UTC)
    result = {"mode": "full" if options.full else "quick", "command": " ".join(["scripts/bench", *sys.argv[1:]]),
              "taken": taken.isoformat(timespec="seconds"), **result}
    print(report(result), flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{taken:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"{time.monotonic() - began:.0f} s; written to {os.path.relpath(path)}")
    if options.full and options.rounds >= LEAST_ROUNDS:
        publish(result)
    return 0


def publish(result: dict[str, Any]) -> None:
    """Make a full run the one that is told of, unless its figures are doubtful."""
    if result["disturbance"]["doubtful"]:
        say("doubtful, so that docs/performance.md stays as it is (.venv/bin/python -m bench.document RESULT.json)")
        return
    document.write(result)
    say(f"{os.path.relpath(LATEST)} and docs/performance.md are of this run")


if __name__ == "__main__":
    sys.exit(main())
