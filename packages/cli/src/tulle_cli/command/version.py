"""`tulle version`: this command, Tulle's other installed parts, and the control plane that answers."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

import click

from tulle_cli import options, terminal
from tulle_cli import version as own_version
from tulle_cli.api_client import ApiClient
from tulle_cli.errors import CliError

SECONDS = 1.0
"""How long the control plane has to say its version."""


@click.command("version")
@click.option("--client", is_flag=True, help="Only what is installed here; ask nobody.")
@options.control_plane
@options.output
def command(client: bool, api: str | None, output: str) -> None:
    """Versions of Tulle's parts. An unreachable control plane is shown as such, and is no error."""
    installed = sorted((d.name, d.version) for d in distributions() if (d.name or "").startswith("tulle-"))
    found: dict[str, object] = {
        "client": own_version(), "python": platform.python_version(), "installed": dict(installed)
    }
    if not client:
        try:
            found["control_plane"] = ApiClient(api, timeout=SECONDS).get("/api/v1/version")["version"]
        except CliError as error:
            found["control_plane"] = None
            found["control_plane_error"] = f"{error.what}: {error.why}"
    if output == "json":
        terminal.echo_json(found)
        return
    click.echo(f"client:         {found['client']} (Python {found['python']})")
    if not client:
        click.echo(f"control plane:  {found['control_plane'] or found['control_plane_error']}")
    for name, version in installed:
        click.echo(f"  {name:<32} {version}")
