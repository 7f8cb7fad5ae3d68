"""A result as tables and sentences, for a terminal and for the document. Pure.

Ratios to Envoy, memory, how far above the floor we are, the goals, and what makes the run doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import figures, names, ratios
from bench.rows import BY_NAME, CPU, RATE, Metric, Row

Table = list[list[str]]
"""Lines of cells; the first is the heading."""

DOUBTFUL = """\
DOUBTFUL: other processes took {others:.0%} of this machine's CPU time, and the hypervisor {stolen:.0%}.
Run it again when the machine is quiet."""

BUSY = 0.9
"""A proxy that keeps its core busier than this is saturated; below, something else set the pace."""


def cell(rows: ratios.Rows, row: Row, metric: Metric, column: str) -> ratios.Ratio | None:
    """One figure of the table of ratios; None where it was not measured."""
    name = names.subject(row.name, column)
    return ratios.ratio(rows, row.name, metric.key, name, names.baseline(name))


def table(result: Mapping[str, Any], columns: Sequence[str]) -> Table:
    """Rows and metrics down, proxies across: the median ratio to Envoy and the spread of the rounds."""
    rows: ratios.Rows = result["rows"]
    present = [name for name in columns if any(name in subjects for subjects in rows.values())]
    lines = [["ratio to Envoy", "", *(names.TITLES[name] for name in present)]]
    for row in BY_NAME.values():
        title = row.title
        for metric in row.metrics:
            cells = [str(cell(rows, row, metric, name) or "") for name in present if not metric.unit]
            if any(cells):
                lines.append([title, metric.title, *cells])
                title = ""
    return lines if present else []


def memory(result: Mapping[str, Any]) -> Table:
    """Resident memory: as a ratio, and in KiB what connections and streams add."""
    rows: ratios.Rows = result["rows"]
    columns = [name for name in (*names.PROXIES, "envoy") if name in rows.get("memory", {})]
    lines = [["memory", "", *(names.TITLES[name] for name in columns)]]
    for key, title in (("idle", "resident, idle"), ("after", "resident, after load")):
        lines.append([title, "ratio", *(str(ratios.ratio(rows, "memory", key, name, "envoy") or "")
                                        for name in columns)])
    for row in BY_NAME.values():
        for metric in row.metrics:
            if metric.unit and row.name in rows:
                cells = [ratios.value(rows, row.name, metric.key, name) for name in columns]
                lines.append([f"{row.title}: {metric.title}", metric.unit, *(str(each or "") for each in cells)])
    return lines


def text(lines: Table) -> str:
    """Cells under each other."""
    if not lines:
        return ""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)


def floor(result: Mapping[str, Any]) -> list[str]:
    """How far above a process that only makes the system calls we are, and where the time goes."""
    rows: ratios.Rows = result["rows"]
    lines = []
    for row in BY_NAME.values():
        above = ratios.ratio(rows, row.name, CPU.key, "tulle", "floor")
        under = ratios.ratio(rows, row.name, CPU.key, "floor", "envoy")
        kernel = [ratios.value(rows, row.name, "system", name) for name in ("tulle", "floor")]
        if above and under and kernel[0] and kernel[1]:
            lines.append(f"{row.title}: the floor is {under} of Envoy's CPU time; Tulle is {above} times the floor. In "
                         f"the kernel: {kernel[0].median:.0%} of Tulle's time, {kernel[1].median:.0%} of the floor's.")
    return lines


def unsaturated(result: Mapping[str, Any]) -> str:
    """Which throughputs are not the proxy's limit, since its core was not busy."""
    rows: ratios.Rows = result["rows"]
    found = []
    for row in BY_NAME.values():
        busy = {name: ratios.value(rows, row.name, "busy", name) for name in rows.get(row.name, {})}
        idle = [name for name, share in busy.items() if share is not None and share.median < BUSY]
        if idle and row.saturates and RATE in row.metrics:
            found.append(f"{row.title} ({', '.join(names.TITLES[name] for name in idle)})" if len(idle) < len(busy)
                         else row.title)
    if not found:
        return ""
    return ("Not saturated, since the client or the backend set the pace, so that throughput says less than CPU time: "
            + "; ".join(found) + ".")


def report(result: Mapping[str, Any]) -> str:
    """All of it, for a terminal."""
    disturbed = result["disturbance"]
    parts = [
        text(table(result, names.PROXIES)),
        text(table(result, names.YARDSTICKS)),
        text(memory(result)),
        "\n".join(floor(result)),
        unsaturated(result),
        "\n".join(figures.lines(result)),
        DOUBTFUL.format(**disturbed) if disturbed["doubtful"] else "",
    ]
    return "\n\n".join(part for part in parts if part)
