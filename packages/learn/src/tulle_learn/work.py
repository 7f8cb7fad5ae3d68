"""The learner's copy of an exercise: made from the starter, kept in backups, watched by its files' state.

Owns lessons/mine/NN-topic and the backups. Never overwrites what a learner wrote without keeping it.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tulle_learn.lesson import Lesson


def prepare(lesson: Lesson) -> Path:
    """The copy, made if there is none; files that a newer version of the lesson has are added."""
    for path in sorted(lesson.exercise.rglob("*")):
        target = lesson.mine / path.relative_to(lesson.exercise)
        if path.is_file() and "__pycache__" not in path.parts and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    lesson.mine.mkdir(parents=True, exist_ok=True)
    return lesson.mine


def reset(lesson: Lesson, backups: Path) -> Path | None:
    """The starter again; where the former copy went, if there was one."""
    kept = None
    if lesson.mine.exists():
        kept = backups / lesson.name / time.strftime("%Y%m%d-%H%M%S")
        while kept.exists():
            kept = kept.with_name(kept.name + "x")
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(lesson.mine, kept)
    prepare(lesson)
    return kept


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file is saved, added or removed."""
    found = []
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts or path.name.startswith("."):
            continue
        try:
            status = path.stat()
        except OSError:  # an editor replaced it just now: the next look finds it
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)
