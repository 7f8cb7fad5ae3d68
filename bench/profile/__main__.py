"""`make bench-profile`: what each layer of the proxy adds to a request. About a minute; half without valgrind.

    scripts/bench profile [--no-instructions] [--same] [--json]
    scripts/bench profile --connections
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import report
from bench.profile import callgrind, connections


@dataclass(frozen=True)
class Figure:
    """One line: nanoseconds of CPU time and instructions (None: not counted), as a sum with the lines above."""

    name: str
    time: float
    instructions: float | None = None


def measured(names_and_rounds: Mapping[str, Sequence[float]], counts: Sequence[float]) -> list[Figure]:
    """Of each line the quickest third's median: noise only ever adds."""
    figures = []
    for number, (name, rounds) in enumerate(names_and_rounds.items()):
        quickest = sorted(rounds)[: max(1, len(rounds) // 3)]
        figures.append(Figure(name, statistics.median(quickest), counts[number] if counts else None))
    return figures


def layered(figures: Sequence[Figure]) -> report.Table:
    """Each layer's own cost, and its share of all."""
    lines = [["layer", "us", "share", "instructions", "share"]]
    before = Figure("", 0.0, 0.0)
    last = figures[-1]
    for figure in figures:
        lines.append(_line(figure.name, figure.time - before.time, last.time,
                           None if figure.instructions is None else figure.instructions - (before.instructions or 0.0),
                           last.instructions))
        before = figure
    lines.append(_line("all of it", last.time, last.time, last.instructions, last.instructions))
    return lines


def single(figures: Sequence[Figure], whole: Figure) -> report.Table:
    """Parts, as shares of the whole."""
    return [["of which", "us", "share", "instructions", "share"],
            *(_line(each.name, each.time, whole.time, each.instructions, whole.instructions) for each in figures)]


def _line(name: str, time: float, all_time: float, count: float | None, all_count: float | None) -> list[str]:
    counted = ["", ""] if count is None or not all_count else [f"{count:,.0f}", f"{count / all_count:.0%}"]
    return [name, f"{time / 1000:.2f}", f"{time / all_time:.0%}", *counted]


def _connections() -> int:
    try:
        counts = callgrind.counts(len(connections.NAMES), "connections")
    except (callgrind.Uncounted, FileNotFoundError) as error:
        print(f"Instructions were not counted: {error}.", file=sys.stderr)
        return 1
    lines = [[name, f"{count:,.0f}"] for name, count in zip(connections.NAMES.values(), counts, strict=True)]
    print(report.text([["instructions", ""], *lines]))
    return 0


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench profile", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-instructions", action="store_true", help="do not count under valgrind")
    parser.add_argument("--same", action="store_true", help="all heads alike, as most load generators send them")
    parser.add_argument("--json", action="store_true", help="print figures for a program")
    parser.add_argument("--connections", action="store_true", help="count whole connections, over sockets, instead")
    options = parser.parse_args()
    if options.connections:
        return _connections()
    same = ["same"] if options.same else []
    command = [sys.executable, *callgrind.FLAGS, "-m", "bench.profile.child", "time", *same]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return 1
    found: dict[str, dict[str, list[float]]] = json.loads(done.stdout)
    counts: list[float] = []
    why = "--no-instructions" if options.no_instructions else "valgrind is not installed (apt-get install valgrind)"
    if not options.no_instructions and callgrind.available():
        try:
            counts = callgrind.counts(len(found["layers"]) + len(found["parts"]), *same)
        except callgrind.Uncounted as error:
            why = str(error)
    layers = measured(found["layers"], counts[: len(found["layers"])])
    parts = measured(found["parts"], counts[len(found["layers"]) :])
    if options.json:
        rows = {"layers": [vars(each) for each in layers], "parts": [vars(each) for each in parts]}
        print(json.dumps(rows, indent=1))
        return 0
    print(report.text(layered(layers)) + "\n\n" + report.text(single(parts, layers[-1])))
    print("\nWithout sockets: the driver's waits and the kernel's part come on top (make bench).")
    if not counts:
        print(f"Instructions were not counted: {why}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
