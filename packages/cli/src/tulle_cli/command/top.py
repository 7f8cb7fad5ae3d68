"""`tulle top`: stat, again and again. Redraws in place on a terminal; elsewhere prints one table after another."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable

import click

from tulle_cli import figures, options
from tulle_cli.api_client import ApiClient
from tulle_cli.command import stat


@click.command("top")
@click.argument("resource", metavar="[KIND[/NAME]]", required=False, default="")
@click.option("--window", default="10s", show_default=True, metavar="DURATION", help="How far back each figure looks.")
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True, metavar="SECONDS",
              help="Time between two looks.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N looks; else at Ctrl-C.")
@options.namespace
@options.control_plane
def command(
    resource: str, window: str, interval: float, count: int | None, namespace: str | None, api: str | None
) -> None:
    """Like stat, live, busiest first. Ctrl-C ends it."""
    kind, name = stat.parse(resource)
    client = ApiClient(api)

    def look() -> str:
        answer = client.get("/api/v1/stat", {"namespace": namespace, "window": window, "kind": kind})
        rows = sorted(figures.select(answer["rows"], kind, name), key=lambda row: -(row.get("rps") or 0.0))
        if not rows:
            return stat.nothing(client, kind, namespace)
        return stat.table(rows, qualified=len({row["kind"] for row in rows}) > 1)

    with contextlib.suppress(KeyboardInterrupt):  # the ordinary end
        _watch(look, interval, count)


def _watch(look: Callable[[], str], interval: float, count: int | None) -> None:
    looks = itertools.count() if count is None else iter(range(count))
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(), auto_refresh=False, screen=count is None) as live:
            for number in looks:
                time.sleep(interval if number else 0)
                live.update(Text(look(), no_wrap=True), refresh=True)
        return
    for number in looks:
        time.sleep(interval if number else 0)
        click.echo(("\n" if number else "") + look())
