"""The goals of issue 4 and a run's figures next to them: `python -m bench.figures [RESULT.json]`.

Prints one line a goal, `name: figure (bar)`, as `make acceptance` does; exits 1 when one falls short. Of a quick run
there are fewer. Pure, but for reading the file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ratios

RESULTS = Path(__file__).with_name("results")
LATEST = RESULTS / "latest.json"
"""The run that docs/performance.md is of (document.py)."""

ALIKE = "to Envoy behind the same rules"
"""Tulle's packets go through the rules of tulle-init, as in a pod; those of Envoy, whose client dials it, do not."""


@dataclass(frozen=True)
class Goal:
    """A figure and its bar: a ratio to Envoy, or (`unit` given) a value of Tulle's own."""

    name: str
    row: str
    metric: str
    bar: float
    at_least: bool = False
    unit: str = ""

    def figure(self, rows: ratios.Rows) -> ratios.Ratio | None:
        """None where it was not measured."""
        if self.unit:
            return ratios.value(rows, self.row, self.metric, "tulle")
        return ratios.ratio(rows, self.row, self.metric, "tulle", "envoy")

    def alike(self, rows: ratios.Rows) -> ratios.Ratio | None:
        """To Envoy behind the same REDIRECT rules, where that was measured. Told beside the figure; no goal asks it."""
        return None if self.unit else ratios.ratio(rows, self.row, self.metric, "tulle", "envoy-redirected")

    def met(self, figure: ratios.Ratio) -> bool:
        """Whether the median reaches the bar."""
        return figure.median >= self.bar if self.at_least else figure.median <= self.bar

    @property
    def words(self) -> str:
        """The bar."""
        if self.unit:
            return f"at most {self.bar:g} {self.unit}"
        return f"at least {self.bar:g} times Envoy's" if self.at_least else f"at most {self.bar:g} of Envoy's"

    def line(self, figure: ratios.Ratio, alike: ratios.Ratio | None = None) -> str:
        """`name: figure (bar)`, and that it is short of it."""
        beside = f"; {alike} {ALIKE}" if alike else ""
        line = f"{self.name}: {figure}{f' {self.unit}' if self.unit else ''}{beside} ({self.words})"
        return line if self.met(figure) else f"{line}  <-- SHORT"


GOALS = (
    Goal("CPU time a request, 16 connections", "keepalive-16", "cpu", 0.5),
    Goal("CPU time a request, 16 connections, no two heads alike", "keepalive-16-differing", "cpu", 0.5),
    Goal("CPU time a request, 1 connection", "keepalive-1", "cpu", 0.8),
    Goal("requests a second at saturation", "keepalive-16", "rate", 1.8, at_least=True),
    Goal("p50 at 1 connection", "keepalive-1", "p50", 0.85),
    Goal("p99.9 at half load", "half-load", "p999", 1.0),
    Goal("CPU time a new connection", "new-connections", "cpu", 0.8),
    Goal("GETs of 1 MiB, throughput", "get-1m", "rate", 1.0, at_least=True),
    Goal("POSTs of 1 MiB, throughput", "post-1m", "rate", 1.0, at_least=True),
    Goal("opaque bulk, throughput", "opaque-bulk", "rate", 1.5, at_least=True),
    Goal("an idle connection, of 10,000", "idle-connections", "each_10000", 12, unit="KiB"),
    Goal("resident memory, idle", "memory", "idle", 0.42),
    Goal("resident memory, after load", "memory", "after", 0.42),
)


def found(result: Mapping[str, Any]) -> Iterator[tuple[Goal, ratios.Ratio]]:
    """The goals that this run has figures for."""
    for goal in GOALS:
        figure = goal.figure(result["rows"])
        if figure is not None:
            yield goal, figure


def lines(result: Mapping[str, Any]) -> list[str]:
    """One for each."""
    return [goal.line(figure, goal.alike(result["rows"])) for goal, figure in found(result)]


def main() -> int:
    """Exit status."""
    path = Path(sys.argv[1]) if sys.argv[1:] else LATEST
    if not path.is_file():
        print(f"{path}: no such result; `make bench FULL=1` makes one on a quiet machine", file=sys.stderr)
        return 2
    result = json.loads(path.read_text())
    print("\n".join(lines(result)))
    return 0 if all(goal.met(figure) for goal, figure in found(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
