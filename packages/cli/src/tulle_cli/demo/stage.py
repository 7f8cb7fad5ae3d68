"""Where the story is told: prose, commands with their output, and claims that are checked when they are made.

Owns its looks on a terminal and without one. Refuses to know what is told. Nothing asks the reader anything.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from typing import TypeVar

import click

from tulle_cli.errors import CliError
from tulle_cli.terminal import Glyphs, glyphs

T = TypeVar("T")

WIDTH = 100
"""Columns of prose; tables and commands are never wrapped."""
PATIENCE = 180.0
"""Seconds until something that should come true is given up. Long: the machine may have much else to do."""
BETWEEN_LOOKS = 0.25


class NotTrue(CliError):
    """A claim of the story does not hold on this machine: the demo ends, with exit status 1."""


class Stage:
    """Prints to stdout. `sleep` and `now` are passed in for tests."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        signs: Glyphs | None = None,
    ) -> None:
        self.now, self.sleep = now, sleep
        self.signs = signs or glyphs()
        self.claims = 0
        self._chapters = 0

    def chapter(self, title: str) -> None:
        """Begin a chapter; they are numbered."""
        self._chapters += 1
        click.echo()
        click.secho(f"{self._chapters}. {title}", bold=True, fg="cyan")

    def say(self, text: str) -> None:
        """A paragraph of prose."""
        click.echo(textwrap.fill(" ".join(text.split()), WIDTH))

    def command(self, line: str) -> None:
        """A command line, as the reader could type it."""
        click.secho(f"$ {line}", fg="yellow")

    def show(self, text: str) -> None:
        """Output, indented."""
        click.echo(textwrap.indent(text.rstrip("\n"), "  "))

    def claim(self, holds: bool, text: str, instead: str = "", look: str = "tulle check") -> None:
        """Say `text` with a tick. When it does not hold, raise NotTrue saying what was so `instead`."""
        if not holds:
            raise NotTrue(f"the demo's claim does not hold: {text}", instead, look)
        self.claims += 1
        click.echo(f"{click.style(self.signs.ok, fg='green')} {text}")

    def until(self, look: Callable[[], T | None], what: str, seconds: float = PATIENCE, hint: str = "tulle check") -> T:
        """What `look` returns once it is not None. Raises NotTrue after `seconds`, with its last CliError if any."""
        deadline, last = self.now() + seconds, ""
        while True:
            try:
                found = look()
                last = ""
            except CliError as error:
                found, last = None, error.format_message()
            if found is not None:
                return found
            if self.now() >= deadline:
                raise NotTrue(f"the demo waited {seconds:g} s in vain for: {what}", last, hint)
            self.sleep(BETWEEN_LOOKS)
