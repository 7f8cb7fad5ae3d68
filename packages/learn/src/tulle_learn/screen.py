"""The words of `tulle learn`: text from values, for a terminal and without one. Pure.

Owns every line that a learner reads outside of a lesson's own files.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import click

from tulle_learn.lesson import Lesson
from tulle_learn.progress import LAYERS, Progress
from tulle_learn.verdict import Observation, Verdict

_BAR = 30
KEYS = "[c]heck  [h]int  [n]ext  [p]revious  [l]ist  [r]eset  [s]olution  [q]uit"


def short(path: Path) -> str:
    """Relative to the working directory where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def bar(progress: Progress, lessons: Sequence[Lesson]) -> str:
    """`[######----]  6 of 15 lessons`."""
    done = sum(progress.has_passed(lesson) for lesson in lessons)
    filled = round(_BAR * done / len(lessons)) if lessons else 0
    return f"[{'#' * filled}{'-' * (_BAR - filled)}]  {done} of {len(lessons)} lessons"


def table(lessons: Sequence[Lesson], progress: Progress, current: Lesson | None = None) -> str:
    """One line a lesson."""
    lines = []
    for lesson in lessons:
        sign = "done" if progress.has_passed(lesson) else "now " if lesson == current else "    "
        lines.append(f"{sign} {lesson.number:>2}  {lesson.title}  ({lesson.settings.minutes} min)")
    return "\n".join(lines)


def introduce(lesson: Lesson) -> str:
    """What to read and what to edit."""
    files = [path for path in sorted(lesson.mine.rglob("*")) if path.suffix in (".py", ".yaml", ".toml")]
    files = [path for path in files if "__pycache__" not in path.parts]
    lines = [
        click.style(f"Lesson {lesson.number}: {lesson.title}", bold=True),
        f"  read   {short(lesson.folder / 'README.md')}",
        *(f"  edit   {short(path)}" for path in files if path.name != "pyproject.toml" or len(files) == 1),
    ]
    return "\n".join(lines)


def verdict(lesson: Lesson, found: Verdict) -> str:
    """Every observation with what was expected; of the one that does not hold, also what it means."""
    lines = []
    for seen in found.observations:
        sign = click.style("ok  ", fg="green") if seen.holds else click.style("not ", fg="red")
        lines.append(f"{sign}{seen.what}")
        lines += _pair("saw", seen.observed)
        if not seen.holds:
            lines += _pair("expected", seen.expected)
            lines += _pair("your code", seen.raised) if seen.raised else []
            lines += _pair("which means", seen.meaning) if seen.meaning else []
            lines += _pair("objective", _objective(lesson, seen)) if seen.objective else []
    if found.passed:
        lines.append(click.style(f"passed in {found.seconds:.1f} s", fg="green", bold=True))
    return "\n".join(lines)


def _objective(lesson: Lesson, seen: Observation) -> str:
    known = lesson.objectives
    return f"{seen.objective}. {known[seen.objective - 1]}" if seen.objective <= len(known) else str(seen.objective)


def _pair(label: str, text: str) -> list[str]:
    first, *rest = [
        part
        for line in (text.splitlines() or [""])
        for part in (textwrap.wrap(line, 96, break_on_hyphens=False) or [""])
    ]
    return [f"    {label + ':':<12} {first}", *(f"    {'':<12} {line}" for line in rest)]


def hint(lesson: Lesson, layer: int, again: str = "h") -> str:
    """Layer 1 to 3. Code (indented by four) keeps its lines, prose is wrapped. `again` is what gives the next one."""
    lines = []
    for line in lesson.hints[layer - 1].splitlines():
        lines += [line] if line.startswith("    ") else textwrap.wrap(line, 96, break_on_hyphens=False) or [""]
    more = {1: f"there are two more: {again}", 2: f"there is one more: {again}"}.get(layer, "that was the last one")
    text = textwrap.indent("\n".join(lines), "  ")
    return f"{click.style(f'Hint {layer} of {LAYERS}', bold=True)}\n{text}\n({more})"
