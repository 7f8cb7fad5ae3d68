"""What a run of `tulle check` consists of. Values only; a check is tulle_plugin_api.Check, as plugins write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tulle_plugin_api import Check, CheckResult

OK, WARNING, ERROR = "success", "warning", "error"
"""The words of linkerd's JSON."""


@dataclass(frozen=True)
class Section:
    """Checks under one heading."""

    name: str
    checks: Iterable[Check]
    """Taken one after the other, once: a generator may decide as it goes."""
    stops: bool = False
    """A failed check ends the section, since the rest would only repeat it."""
    needs: str = ""
    """Skipped when the section of this name has failed."""
    waits: bool = False
    """With `--wait`, a failed check is repeated until it holds: it concerns what is still starting."""


@dataclass(frozen=True)
class Line:
    """A check and what came of it."""

    description: str
    result: str  # OK, WARNING, ERROR
    detail: str = ""
    hint: str = ""


@dataclass
class Outcome:
    """What one section said; empty `lines` when it was skipped."""

    name: str
    lines: list[Line] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether any line is an error; warnings are not."""
        return any(line.result == ERROR for line in self.lines)


def passed(detail: str = "") -> CheckResult:
    """The check holds; `detail` stands behind it in parentheses."""
    return CheckResult(True, detail)


def warned(detail: str, hint: str = "") -> CheckResult:
    """Worth knowing; does not fail the run."""
    return CheckResult(None, detail, hint)


def failed(detail: str, hint: str = "") -> CheckResult:
    """The check does not hold."""
    return CheckResult(False, detail, hint)


def check(category: str, description: str, run: Callable[[], CheckResult], *, before: bool = True) -> Check:
    """A Check, positionally, for the tables in this package."""
    return Check(category, description, run, before)
