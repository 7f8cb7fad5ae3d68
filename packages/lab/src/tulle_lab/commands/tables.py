"""Tables as kubectl prints them: rows, alignment, colour. Pure but for the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tulle_lab.commands.columns import COLUMNS, WIDE

_GOOD, _BAD = (
    {"Running", "Active", "Completed", "Complete", "Normal"},
    {"CrashLoopBackOff", "Error", "Failed", "Warning", "ErrImagePull", "CreateContainerConfigError", "StartError"},
)


@dataclass(frozen=True)
class Table:
    """A header and rows of equal length."""

    header: list[str]
    rows: list[list[str]]


def table(
    kind: str, items: list[Any], *, wide: bool = False, namespaces: bool = False, now: float | None = None
) -> Table:
    """The table of `items`, all of one kind."""
    now = time.time() if now is None else now
    columns = [*COLUMNS.get(kind, []), *(WIDE.get(kind, []) if wide else [])]
    header = ["NAME", *(name for name, _ in columns)]
    rows = [[item["metadata"]["name"], *(read(item, now) for _, read in columns)] for item in items]
    if kind == "Event":
        header, rows = header[1:], [row[1:] for row in rows]
    if namespaces and kind != "Namespace":
        header = ["NAMESPACE", *header]
        rows = [[item["metadata"].get("namespace", ""), *row] for item, row in zip(items, rows, strict=True)]
    return Table(header, rows)


def render(found: Table, *, header: bool = True, colour: bool = False) -> str:
    """Columns three spaces apart."""
    lines = [found.header, *found.rows] if header else found.rows
    widths = [max(len(line[column]) for line in [found.header, *found.rows]) for column in range(len(found.header))]
    return "\n".join(
        "   ".join(_paint(cell, width, colour) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _paint(cell: str, width: int, colour: bool) -> str:
    code = "32" if cell in _GOOD else "31" if cell in _BAD else ""
    padded = cell.ljust(width)
    return f"\x1b[{code}m{padded}\x1b[0m" if colour and code else padded
