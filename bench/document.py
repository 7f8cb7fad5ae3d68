"""docs/performance.md and its plots, from a result: `python -m bench.document [RESULT.json]`.

Owns what is between the markers, and the files in docs/performance/. The words around them are a person's. Ratios and
memory only: no absolute time is told.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import figures, names, report, svg
from bench.ratios import Rows
from bench.rows import BY_NAME, Metric

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
PLOTS = DOCS / "performance"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

# file, title, note, metrics by key
DRAWN: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("cpu", "CPU time for each request", "Ratio to Envoy in the same round; less is better.", ("cpu",)),
    ("throughput", "Throughput", "Ratio to Envoy in the same round; more is better.", ("rate",)),
    ("latency", "Latency", "Ratio to Envoy in the same round; less is better.", ("p50", "p99", "p999")),
)
SHOWN = (*names.PROXIES, "floor")


def plots(result: Mapping[str, Any]) -> dict[str, str]:
    """File name -> SVG. A plot without anything in it is left out."""
    made = {}
    for file, title, note, keys in DRAWN:
        lines = drawn(result["rows"], keys)
        if lines:
            made[f"{file}.svg"] = svg.plot(title, note, lines, names.TITLES)
    return made


def drawn(rows: Rows, keys: Sequence[str]) -> list[svg.Line]:
    """The lines of one plot."""
    lines = []
    for row in BY_NAME.values():
        for metric in row.metrics:
            if metric.key not in keys:
                continue
            dots = [(name, found) for name in SHOWN if (found := report.cell(rows, row, metric, name)) is not None]
            title = row.title if len(keys) == 1 else f"{row.title}: {metric.title}"
            if dots:
                lines.append(svg.Line(title, dots, _goal(row.name, metric)))
    return lines


def _goal(row: str, metric: Metric) -> float | None:
    return next((goal.bar for goal in figures.GOALS if (goal.row, goal.metric) == (row, metric.key)), None)


def markdown(lines: report.Table) -> str:
    """A table."""
    heading, *rest = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (heading, ["---"] * len(heading), *rest))


def goals(result: Mapping[str, Any]) -> report.Table:
    """Each goal, the figure and whether it is met."""
    lines = [["goal (Tulle, all features and the access log on)", "bar", "figure", "", figures.ALIKE]]
    for goal, found in figures.found(result):
        alike = goal.alike(result["rows"])
        lines.append([goal.name, goal.words, f"{found}{f' {goal.unit}' if goal.unit else ''}",
                      "met" if goal.met(found) else "**short**", str(alike) if alike else ""])
    return lines


def conditions(result: Mapping[str, Any]) -> str:
    """With what, on what, by which command."""
    version = result["versions"]
    programs = ", ".join(f"{title} {version[key]}" for key, title in (
        ("tulle", "Tulle"), ("envoy", "Envoy"), ("haproxy", "HAProxy"), ("nginx", "nginx"), ("python", "Python"),
        ("wrk", "wrk")) if key in version)
    disturbed = result["disturbance"]
    return (f"`{result['command']}`, {result['taken'][:10]}, commit {version.get('commit', 'unknown')}: {programs}; "
            f"{version['cores']} cores of {version['processor']}, Linux {version['kernel']}. Rounds: "
            f"{result['rounds']}; others took {disturbed['others']:.1%} of the machine's CPU time meanwhile, the "
            f"hypervisor {disturbed['stolen']:.1%}. Cells: the median of the rounds' ratios (least-greatest).")


def section(result: Mapping[str, Any]) -> str:
    """What goes between the markers."""
    images = [f"![{title}](performance/{file}.svg)" for file, title, _, _ in DRAWN]
    yardsticks = report.table(result, names.YARDSTICKS)
    parts = [
        conditions(result),
        report.DOUBTFUL.format(**disturbed) if (disturbed := result["disturbance"])["doubtful"] else "",
        "### Goals", markdown(goals(result)),
        "### Next to the others", *images, markdown(report.table(result, names.PROXIES)),
        "### Memory", markdown(report.memory(result)),
        "### The floor, and other yardsticks", "\n".join(f"- {line}" for line in report.floor(result)),
        markdown(yardsticks) if yardsticks else "",
        report.unsaturated(result),
    ]
    return "\n\n".join(part for part in parts if part)


def replaced(page: str, words: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with other words between its markers. Raises ValueError when it has none."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no {begin} and {end} to write between")
    return f"{before}{begin}\n{words}\n{end}{after}"


def write(result: Mapping[str, Any]) -> None:
    """Make `result` the one that is told of: the page, its plots, and latest.json."""
    figures.LATEST.write_text(json.dumps(result, indent=1) + "\n")
    PAGE.write_text(replaced(PAGE.read_text(), section(result)))
    PLOTS.mkdir(exist_ok=True)
    for file, drawing in plots(result).items():
        (PLOTS / file).write_text(drawing)


def main() -> int:
    """Exit status."""
    path = Path(sys.argv[1]) if sys.argv[1:] else figures.LATEST
    if not path.is_file():
        print(f"{path}: no such result; `make bench FULL=1` makes one", file=sys.stderr)
        return 2
    write(json.loads(path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
