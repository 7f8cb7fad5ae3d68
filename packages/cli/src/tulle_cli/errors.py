"""How a command fails: one class, and the exit codes.

Owns the form of an error message: what happened, why, and the next thing to type. Every command raises
CliError for what is not its own bug; a traceback of `tulle` is a bug of `tulle`.
"""

from __future__ import annotations

from typing import IO, Any

import click

OK = 0
FAILED = 1
"""A check failed, or the operation did."""
USAGE = 2
"""The command line cannot be understood; click uses the same."""


class CliError(click.ClickException):
    """`what` happened, `why` (a line or several), and the `next` command or step."""

    exit_code = FAILED

    def __init__(self, what: str, why: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.next = what, why, next

    def format_message(self) -> str:
        """The message as `show` prints it, without the leading "Error: "."""
        lines = [self.what]
        for label, text in (("why: ", self.why), ("next:", self.next)):
            for number, line in enumerate(text.splitlines()):
                lines.append(f"  {label if number == 0 else '     '} {line}")
        return "\n".join(lines)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print to stderr (or `file`)."""
        click.secho("Error: ", fg="red", bold=True, nl=False, err=True, file=file)
        click.echo(self.format_message(), err=True, file=file)
