"""The loop's decisions: a key and what is so now -> what is shown, and what is to be done. Pure.

Owns the keys. The shell (shell.py) reads them, does what `Do` says, and tells the outcome back with `seen`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from tulle_learn import screen
from tulle_learn.lesson import Lesson
from tulle_learn.progress import Progress
from tulle_learn.verdict import Verdict


class Do(Enum):
    """What the shell has to do after a key."""

    NOTHING = "nothing"
    CHECK = "check"
    OPEN = "open"  # another lesson: its lab, its files
    RESET = "reset"
    QUIT = "quit"


@dataclass(frozen=True)
class Loop:
    """What is so now. `text` is what stands below the lesson's head."""

    lessons: Sequence[Lesson]
    lesson: Lesson
    progress: Progress
    text: str = ""
    asked_reset: bool = False
    """`r` was pressed once; the second time does it."""

    def press(self, key: str) -> tuple[Loop, Do]:
        """After a key. Unknown ones do nothing."""
        action = _KEYS.get(key)
        if action is None:
            return replace(self, asked_reset=False), Do.NOTHING
        after, do = action(self)
        return (after if key == "r" else replace(after, asked_reset=False)), do

    def seen(self, verdict: Verdict) -> Loop:
        """After a check."""
        text = screen.verdict(self.lesson, verdict)
        progress = self.progress
        if verdict.passed:
            progress = progress.with_passed(self.lesson)
            last = self.lesson == self.lessons[-1]
            left = [str(one.number) for one in self.lessons if not progress.has_passed(one)]
            text += "\n\n" + (
                "n for the next lesson, s for our solution." if not last else
                f"That was the last lesson. Not passed yet: {', '.join(left)} (p goes back)." if left else
                "That was the last lesson, and you have passed them all. s for our solution."
            )  # fmt: skip
        return replace(self, progress=progress, text=text)

    def _hint(self) -> tuple[Loop, Do]:
        progress = self.progress.with_hint(self.lesson)
        return replace(
            self, progress=progress, text=screen.hint(self.lesson, progress.hints_seen(self.lesson), "h again")
        ), Do.NOTHING

    def _next(self) -> tuple[Loop, Do]:
        after = self.progress.after(self.lesson, self.lessons)
        if after == self.lesson:
            return replace(self, text="This is the last lesson."), Do.NOTHING
        return replace(self, lesson=after, progress=self.progress.opened(after), text=""), Do.OPEN

    def _previous(self) -> tuple[Loop, Do]:
        before = [one for one in self.lessons if one.number < self.lesson.number]
        if not before:
            return replace(self, text="This is the first lesson."), Do.NOTHING
        return replace(self, lesson=before[-1], progress=self.progress.opened(before[-1]), text=""), Do.OPEN

    def _list(self) -> tuple[Loop, Do]:
        return replace(self, text=screen.table(self.lessons, self.progress, self.lesson)), Do.NOTHING

    def _check(self) -> tuple[Loop, Do]:
        return self, Do.CHECK

    def _reset(self) -> tuple[Loop, Do]:
        if not self.asked_reset:
            text = "Press r again to begin this lesson anew. What you have is kept in a backup."
            return replace(self, asked_reset=True, text=text), Do.NOTHING
        return replace(self, asked_reset=False, progress=self.progress.without(self.lesson)), Do.RESET

    def _solution(self) -> tuple[Loop, Do]:
        if not self.progress.has_passed(self.lesson):
            return replace(self, text="The solution is shown when the lesson is passed. h gives a hint."), Do.NOTHING
        return replace(self, text=solution(self.lesson)), Do.NOTHING

    def _quit(self) -> tuple[Loop, Do]:
        return self, Do.QUIT


_KEYS: dict[str, Callable[[Loop], tuple[Loop, Do]]] = {
    "h": Loop._hint,
    "n": Loop._next,
    "p": Loop._previous,
    "l": Loop._list,
    "c": Loop._check,
    "r": Loop._reset,
    "s": Loop._solution,
    "q": Loop._quit,
    "\x03": Loop._quit,
    "\x04": Loop._quit,
}


def solution(lesson: Lesson) -> str:
    """The solution's files, and where they are."""
    files = [path for path in sorted(lesson.solution.rglob("*")) if path.suffix in (".py", ".yaml")]
    return "\n".join(f"--- {screen.short(path)}\n{path.read_text()}" for path in files)
