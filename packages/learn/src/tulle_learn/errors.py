"""How the lessons' own commands fail: what happened, why, and what to do.

Owns one class. A learner's mistake is never one of these: that is a verdict (verdict.py).
"""

from __future__ import annotations

import click


class LearnError(click.ClickException):
    """`what` happened, `why`, and the `fix`. Exit status 1."""

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.fix = what, why, fix

    def format_message(self) -> str:
        """As click prints it after "Error: "."""
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text}\n  try: {self.fix}" if self.fix else text

    def __str__(self) -> str:
        return self.format_message()
