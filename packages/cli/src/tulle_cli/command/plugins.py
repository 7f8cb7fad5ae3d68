"""`tulle plugins list`: what was found, what it provides, what failed and why."""

from __future__ import annotations

import click
from tulle_plugin_api import PluginInfo, load

from tulle_cli import options, registry, terminal
from tulle_cli.errors import CliError

HEAD = ("NAME", "VERSION", "KINDS", "SOURCE", "STATE", "ERROR")


@click.group("plugins")
def command() -> None:
    """Which plugins are installed, and what is wrong with those that failed."""


@command.command("list")
@options.output
def list_(output: str) -> None:
    """Every plugin and added command: name, version, what it provides, where it is from, state, error."""
    infos = [*load().infos, *_commands()]
    if output == "json":
        terminal.echo_json([
            {"name": i.name, "version": i.version, "provides": i.provides, "source": i.source, "state": i.state,
             "error": i.error}
            for i in infos
        ])
        return
    if not infos:
        click.echo("No plugins are installed. pip install tulle-policy-timeout adds one.")
        return
    rows = [(i.name, i.version, ", ".join(i.provides), i.source, i.state, " ".join(i.error.split())) for i in infos]
    click.echo(terminal.columns(HEAD, rows))


def _commands() -> list[PluginInfo]:
    found = []
    for item in registry.known().values():
        if item.entry is None:
            continue
        info = PluginInfo(
            item.name, item.entry.dist.version if item.entry.dist else "", item.source, [f"command {item.name}"]
        )
        try:
            item.load()
        except CliError as error:
            info.error, info.provides = error.why, []
        found.append(info)
    return found
