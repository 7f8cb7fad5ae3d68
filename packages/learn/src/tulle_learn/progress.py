"""How far a learner is: lessons passed, hints seen. A value, and the file that keeps it.

Owns the file's form ($XDG_STATE_HOME/tulle/learn/progress.json, replaced by rename, so never half written). Lessons are
known by topic, so that new ones in between change nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tulle_learn.errors import LearnError
from tulle_learn.lesson import Lesson

LAYERS = 3
"""Of hints: what to look at, what to use, nearly the answer."""


def state_folder() -> Path:
    """$XDG_STATE_HOME/tulle/learn, else ~/.local/state/tulle/learn."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base).absolute() / "tulle" / "learn"


@dataclass(frozen=True)
class Progress:
    """`passed` and `hints` by topic; `current` is the topic that was open last."""

    passed: frozenset[str] = frozenset()
    hints: Mapping[str, int] = field(default_factory=dict)
    current: str = ""

    def has_passed(self, lesson: Lesson) -> bool:
        """Once is enough: a later failure takes nothing away."""
        return lesson.topic in self.passed

    def with_passed(self, lesson: Lesson) -> Progress:
        """This lesson passed."""
        return replace(self, passed=self.passed | {lesson.topic})

    def hints_seen(self, lesson: Lesson) -> int:
        """How many layers were shown."""
        return self.hints.get(lesson.topic, 0)

    def with_hint(self, lesson: Lesson) -> Progress:
        """One layer more, up to the last."""
        seen = min(LAYERS, self.hints_seen(lesson) + 1)
        return replace(self, hints={**self.hints, lesson.topic: seen})

    def without(self, lesson: Lesson) -> Progress:
        """As if this lesson had never been opened."""
        hints = {topic: seen for topic, seen in self.hints.items() if topic != lesson.topic}
        return replace(self, passed=self.passed - {lesson.topic}, hints=hints)

    def opened(self, lesson: Lesson) -> Progress:
        """This lesson is the one to resume with."""
        return replace(self, current=lesson.topic)

    def resume(self, lessons: Sequence[Lesson]) -> Lesson:
        """The lesson that was open if it is not passed, else the first that is not, else the last of all."""
        for lesson in lessons:
            if lesson.topic == self.current and not self.has_passed(lesson):
                return lesson
        return next((lesson for lesson in lessons if not self.has_passed(lesson)), lessons[-1])

    def after(self, lesson: Lesson, lessons: Sequence[Lesson]) -> Lesson:
        """The next one that is not passed, after this one; else the next at all; the last one stays."""
        later = [one for one in lessons if one.number > lesson.number]
        return next((one for one in later if not self.has_passed(one)), later[0] if later else lesson)


def load(path: Path) -> Progress:
    """What the file says; a fresh start when there is none. Raises LearnError for one that is broken."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Progress(frozenset(data["passed"]), {str(k): int(v) for k, v in data["hints"].items()}, data["current"])
    except FileNotFoundError:
        return Progress()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LearnError(f"{path} cannot be read", repr(error), f"mend it, or begin anew: rm {path}") from None


def save(path: Path, progress: Progress) -> None:
    """Write it. Raises LearnError when that is not possible."""
    text = json.dumps(
        {"passed": sorted(progress.passed), "hints": dict(progress.hints), "current": progress.current}, indent=1
    )
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.rename(path)
    except OSError as error:
        raise LearnError(f"{path} cannot be written", error.strerror or "", "XDG_STATE_HOME chooses a folder") from None
