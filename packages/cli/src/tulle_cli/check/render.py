"""How outcomes look: linkerd's lines, and linkerd's JSON. Pure, but for colour codes that click strips later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tulle_cli.check.model import ERROR, OK, WARNING, Line, Outcome
from tulle_cli.terminal import Glyphs

_INDENT = "    "
_COLOURS = {OK: "green", WARNING: "yellow", ERROR: "red"}


def heading(name: str) -> str:
    """The section's name over dashes."""
    return f"{name}\n{'-' * len(name)}"


def line(line: Line, glyphs: Glyphs) -> str:
    """`√ description (detail)`, or `× description` with the detail and the hint below."""
    sign = {OK: glyphs.ok, WARNING: glyphs.warning, ERROR: glyphs.failed}[line.result]
    text = f"{click.style(sign, fg=_COLOURS[line.result])} {line.description}"
    if line.result == OK:
        return f"{text} ({line.detail})" if line.detail else text
    below = [*line.detail.splitlines(), *(f"hint: {part}" if not number else f"      {part}"
             for number, part in enumerate(line.hint.splitlines()))]
    return "\n".join([text, *(_INDENT + part for part in below)])


def verdict(success: bool, glyphs: Glyphs) -> str:
    """The last line."""
    sign = click.style(glyphs.ok, fg="green") if success else click.style(glyphs.failed, fg="red")
    return f"Status check results are {sign}"


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """`{success, categories: [{categoryName, checks: [{description, hint, error, result}]}]}`."""
    return {
        "success": not any(outcome.failed for outcome in outcomes),
        "categories": [
            {
                "categoryName": outcome.name,
                "checks": [
                    {
                        "description": item.description,
                        "hint": item.hint,
                        "error": "" if item.result == OK else item.detail,
                        "result": item.result,
                    }
                    for item in outcome.lines
                ],
            }
            for outcome in outcomes
        ],
    }
