"""`tulle explain REASON`: what a `tulle-reason` means, in words, and what to look at next."""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import asdict

import click

from tulle_cli import options, reasons, terminal
from tulle_cli.errors import CliError

WIDTH = 100


@click.command("explain")
@click.argument("reason")
@options.output
def command(reason: str, output: str) -> None:
    """What a `tulle-reason` means, in words, and what to look at next. docs/reasons.md has them all.

    \b
    tulle explain no-endpoints
    tulle explain 'tulle-reason: no-endpoints'     as curl -i shows it
    """
    row = find(reason)
    if output == "json":
        terminal.echo_json({**asdict(row), "answer": row.answer})
        return
    click.echo(f"{click.style(row.slug, bold=True)}   status: {row.answer}")
    for label, text in (("what:", row.what), ("look:", row.look), ("next:", row.command)):
        click.echo(textwrap.fill(text, WIDTH, initial_indent=f"  {label} ", subsequent_indent=" " * 8,
                                 break_on_hyphens=False, break_long_words=False))


def find(text: str) -> reasons.Reason:
    """The row of a slug, or of a header line that holds it. Raises CliError."""
    slug = text.lower().removeprefix("tulle-reason").removeprefix(":").strip()
    row = reasons.BY_SLUG.get(slug)
    if row is None:
        close = difflib.get_close_matches(slug, reasons.BY_SLUG, 1)
        raise CliError(
            f"{slug!r} is no reason of Tulle's own",
            f"did you mean {close[0]!r}?" if close else "a plugin may have reasons of its own: see its README",
            "docs/reasons.md lists them; `tulle plugins list` the plugins that are installed",
        )
    return row
