"""What a figure is: a name, a bar, and a function that measures. What it found, and what falls short of the bar.

Owns the line that is printed. Refuses to know how anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.mesh import Mesh


class ByTime(str):
    """What to say of a bar that a busy machine may miss: a time, a rate, a share of a processor, a ratio of these. Not
    of what failed, went elsewhere or is too large."""

    __slots__ = ()


@dataclass(frozen=True)
class Outcome:
    """What was measured, in words, and one sentence for each part that falls short of the bar."""

    text: str
    short: tuple[str, ...] = ()

    @property
    def by_time(self) -> bool:
        """It is short of such bars, and of no other: worth a second look."""
        return bool(self.short) and all(isinstance(words, ByTime) for words in self.short)


@dataclass(frozen=True)
class Figure:
    """One line of `make acceptance`. `full`: only with FULL=1."""

    name: str
    bar: str
    measure: Callable[[Mesh], Outcome]
    full: bool = False

    def line(self, outcome: Outcome) -> str:
        """`name: figure (bar)`, and what is short of it."""
        line = f"{self.name}: {outcome.text} ({self.bar})"
        return line + (f"  <-- SHORT: {'; '.join(outcome.short)}" if outcome.short else "")


class Impossible(Exception):
    """The figure cannot be measured here; the message says why, and what would change that. Counts as a shortfall."""


def judged(text: str, *bars: tuple[bool, str]) -> Outcome:
    """An outcome; each bar is whether it holds, and what to say where it does not."""
    return Outcome(text, tuple(words for holds, words in bars if not holds))
