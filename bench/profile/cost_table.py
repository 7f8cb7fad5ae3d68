"""`scripts/bench costs`: what each policy and each exporter adds to a request, as a ratio to none. Some minutes.

    scripts/bench costs [--no-instructions | --no-times] [--write]

Prints a table; `--write` puts it into docs/performance.md (with `--no-times` where the machine is not quiet). Exits 1
when the default ones together cost more than BAR.
Owns the table and its bar. What is measured is costs.py's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tulle_plugin_api import load

from bench import document, report
from bench.profile import callgrind, costs

BAR = 1.25
BEGIN, END = "<!-- costs: begin -->", "<!-- costs: end -->"
Rounds = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Cost:
    """One line. Ratios to the line's "none"; `added`: instructions a request. None: not counted."""

    name: str
    time: float
    added: float | None = None
    instructions: float | None = None

    @property
    def told(self) -> float:
        """The ratio that is judged: by instructions, which other programs cannot disturb, where they were counted."""
        return self.time if self.instructions is None else self.instructions


def found(rounds: Rounds, counts: Mapping[str, float]) -> list[Cost]:
    """Ratios of CPU time are those of each round, and of them the median."""
    made = []
    for name, own in rounds.items():
        base = costs.base_of(name)
        if name in (costs.NONE, costs.NONE_INBOUND):
            continue
        time = statistics.median(one / other for one, other in zip(own, rounds[base], strict=True))
        if counts:
            made.append(Cost(name, time, counts[name] - counts[base], counts[name] / counts[base]))
        else:
            made.append(Cost(name, time))
    return made


def table(rows: Sequence[Cost], *, times: bool = True) -> report.Table:
    """For a terminal or the page."""
    lines = [["", "instructions", "ratio", *(["CPU time, ratio"] if times else [])]]
    for row in rows:
        counted = ["", ""] if row.instructions is None else [f"{row.added:+,.0f}", f"{row.instructions:.2f}"]
        lines.append([row.name, *counted, *([f"{row.time:.2f}"] if times else [])])
    return lines


def verdict(rows: Sequence[Cost]) -> tuple[bool, str]:
    """Whether the default ones together keep to BAR, and the sentence."""
    ratio = next(row.told for row in rows if row.name == costs.DEFAULT)
    holds = ratio <= BAR
    return holds, f"All of the default ones together: {ratio:.2f} of none (bar: {BAR}){'' if holds else ' <-- SHORT'}"


def measured(words: Sequence[str]) -> Rounds:
    """CPU nanoseconds a request, of each line's rounds. Raises CalledProcessError."""
    command = [sys.executable, *callgrind.FLAGS, "-m", "bench.profile.child", "time", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    rounds: Rounds = json.loads(done.stdout)["layers"]
    return rounds


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench costs", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-instructions", action="store_true", help="do not count under valgrind")
    parser.add_argument("--no-times", action="store_true", help="tell instructions alone")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    if options.no_times and (options.no_instructions or not callgrind.available()):
        parser.error("--no-times leaves nothing to tell without instructions (apt-get install valgrind)")
    names = [name for name, _ in costs.lines(load(kinds=("policy", "exporter")))]
    rounds = measured(["costs"])  # first, since it leaves bytecode behind: to compile under valgrind takes minutes
    counts: dict[str, float] = {}
    why = "" if callgrind.available() else "valgrind is not installed (apt-get install valgrind)"
    if not options.no_instructions and not why:
        try:
            counts = dict(zip(names, callgrind.counts(len(names), "costs"), strict=True))
        except callgrind.Uncounted as error:
            why = str(error)
    rows = found(rounds, counts)
    holds, words = verdict(rows)
    told = table(rows, times=not options.no_times)
    print(report.text(told) + "\n\n" + words)
    if why:
        print(f"Instructions were not counted: {why}.")
    if options.write:
        page = document.PAGE.read_text()
        document.PAGE.write_text(document.replaced(page, f"{document.markdown(told)}\n\n{words}.", BEGIN, END))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
