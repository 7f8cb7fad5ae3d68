"""Several problems, one message: all are said at once, so that nobody repairs them one by one."""

from __future__ import annotations

from collections.abc import Sequence


def as_one(problems: Sequence[str]) -> str:
    """One line for people; numbered when there are several."""
    if len(problems) == 1:
        return problems[0]
    return "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, start=1))
