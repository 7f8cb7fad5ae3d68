"""What the terminal can show: glyphs, colour, columns. Owns every decision that depends on where output goes.

Tables are plain columns, like kubectl's and linkerd's: never cut, so that they can be piped to awk and read by
screen readers. Colour is left to click (stripped when stdout is no terminal; NO_COLOR is honoured in main.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

import click

GAP = 3
"""Blanks between columns, as kubectl has them."""


@dataclass(frozen=True)
class Glyphs:
    """The signs of `tulle check`, which hands and eyes know from linkerd, or what ASCII has instead."""

    ok: str
    warning: str
    failed: str
    arrow: str
    block: str


UNICODE = Glyphs("√", "‼", "×", "→", "█")
ASCII = Glyphs("v", "!", "x", "->", "#")


def glyphs(stream: TextIO | None = None) -> Glyphs:
    """UNICODE if the locale is UTF-8 and the stream's encoding can hold it.

    Python writes UTF-8 under LC_ALL=C as well (PEP 540); who sets that, for an old terminal or a log, wants ASCII.
    """
    locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := os.environ.get(name))), "")
    if locale and "utf" not in locale.lower():
        return ASCII
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        "".join((UNICODE.ok, UNICODE.warning, UNICODE.failed, UNICODE.arrow, UNICODE.block)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> str:
    """Aligned plain text; `right`: heads of columns that hold numbers. Empty cells become "-"; a blank stays."""
    numeric = {index for index, name in enumerate(head) if name in set(right)}
    lines = [list(head), *([str(cell) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if index in numeric else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append((" " * GAP).join(cells).rstrip())
    return "\n".join(text)


def echo_json(value: Any) -> None:
    """Print `value` as JSON: two blanks a level, keys in the order given, text unescaped where the stream allows."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=glyphs() is ASCII))


class _Status(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Spinner:
    """Prints lines past a spinner; where there is no terminal it only prints."""

    def __init__(self, status: _Status | None) -> None:
        self._status = status

    def say(self, text: str, nl: bool = True) -> None:
        """Print `text` to stdout, the spinner out of the way."""
        if self._status:
            self._status.stop()
        click.echo(text, nl=nl)
        if self._status:
            self._status.start()


@contextmanager
def spinner(text: str) -> Iterator[Spinner]:
    """A spinner beside `text`, on a terminal only; gone at the end, also after an error or Ctrl-C."""
    if not sys.stdout.isatty() or glyphs() is ASCII:
        yield Spinner(None)
        return
    from rich.console import Console

    status = Console().status(text)
    status.start()
    try:
        yield Spinner(status)
    finally:
        status.stop()
