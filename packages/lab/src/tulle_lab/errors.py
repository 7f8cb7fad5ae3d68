"""One error class for everything the lab tells a person: what happened, why, and what to do next.

Owns the shape and its two forms (text for a terminal, JSON for the control socket). Refuses to know who raises it.
"""

from __future__ import annotations

from typing import Any


class LabError(Exception):
    """Something a user can act on. `code` is the command's exit status.

    >>> print(LabError("no pod web-1 in namespace default", fix="tulle lab get pods -A"))
    no pod web-1 in namespace default
      try: tulle lab get pods -A
    """

    def __init__(self, what: str, why: str = "", fix: str = "", code: int = 1) -> None:
        super().__init__(what)
        self.what, self.why, self.fix, self.code = what, why, fix, code

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text}\n  try: {self.fix}" if self.fix else text

    def to_json(self) -> dict[str, Any]:
        """As sent over the control socket."""
        return {"what": self.what, "why": self.why, "fix": self.fix, "code": self.code}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LabError:
        """The error that the other side raised."""
        return cls(data.get("what", "unknown error"), data.get("why", ""), data.get("fix", ""), data.get("code", 1))


class NotFound(LabError):
    """No such object."""


class Invalid(LabError):
    """A manifest that the lab refuses. `problems`: one sentence each, with the field's path."""

    def __init__(self, what: str, problems: list[str], fix: str = "") -> None:
        super().__init__(what, "\n" + "\n".join(f"  {problem}" for problem in problems), fix)
        self.problems = problems
