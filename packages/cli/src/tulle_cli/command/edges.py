"""`tulle edges`: who called whom in the window."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tulle_cli import figures, options, terminal
from tulle_cli.api_client import ApiClient


@click.command("edges")
@click.option("--window", default="30s", show_default=True, metavar="DURATION", help="How far back: 1s to 10m.")
@options.namespace
@options.control_plane
@options.output
def command(window: str, namespace: str | None, api: str | None, output: str) -> None:
    """Who calls whom, and whether the connection is secured (mutual TLS).

    With -n, edges of which either end is in the namespace.
    """
    answer = ApiClient(api).get("/api/v1/edges", {"namespace": namespace, "window": window})
    if output == "json":
        terminal.echo_json(answer)
        return
    where, elsewhere = options.place(namespace)
    nothing = f"No calls in {where} in the last {window}.{elsewhere}"
    click.echo(table(answer["rows"]) if answer["rows"] else nothing)


def table(rows: Sequence[figures.Row]) -> str:
    """The rows in columns."""
    signs = terminal.glyphs()
    cells = [figures.edge_cells(row, signs.ok, signs.failed) for row in rows]
    return terminal.columns(figures.EDGES_HEAD, cells, figures.NUMERIC)
