"""`tulle plugins list`: what was found, what it provides, what failed and why. `tulle plugins new`: one of your own."""

from __future__ import annotations

from pathlib import Path

import click
from tulle_plugin_api import PluginInfo, load

from tulle_cli import options, proxies, registry, scaffold, terminal
from tulle_cli.api_client import ApiClient
from tulle_cli.errors import CliError

HEAD = ("NAME", "VERSION", "KIND", "PROVIDES", "SOURCE", "STATE", "ERROR")


@click.group("plugins")
def command() -> None:
    """Which plugins are installed, what is wrong with those that failed, and how to begin a new one."""


@command.command("list")
@options.control_plane
@options.output
def list_(api: str | None, output: str) -> None:
    """Every plugin and added command: name, version, kind, what it provides, where it is from, state, error.

    Where a control plane answers, also how they do in the proxies: one that misbehaves there has that as its state.
    """
    infos = [*load().infos, *_commands()]
    seen = _in_proxies(api)
    states = {i.name: (i.state, i.error) if i.error else seen.pop(i.name, (i.state, "")) for i in infos}
    if output == "json":
        terminal.echo_json([
            {"name": i.name, "version": i.version, "kind": i.kind, "provides": i.provides, "source": i.source,
             "state": states[i.name][0], "error": states[i.name][1]}
            for i in infos
        ] + [
            {"name": name, "version": "", "kind": "", "provides": [], "source": "", "state": state, "error": error}
            for name, (state, error) in seen.items() if name not in states
        ])
        return
    if not infos and not seen:
        click.echo("No plugins are installed. pip install tulle-policy-timeout adds one.")
        return
    rows = [
        (i.name, i.version, i.kind, _provided(i), i.source, states[i.name][0], " ".join(states[i.name][1].split()))
        for i in infos
    ] + [(name, "", "", "", "", *told) for name, told in seen.items() if name not in states]
    click.echo(terminal.columns(HEAD, rows))


def _in_proxies(api: str | None) -> dict[str, tuple[str, str]]:
    """State and words of those that misbehave in proxies; nothing where no control plane was named, nor answers."""
    try:
        return proxies.faults(ApiClient(api, timeout=2.0).get("/api/v1/proxies")["proxies"])
    except CliError:
        if api:
            raise
        return {}


def _provided(info: PluginInfo) -> str:
    # the kind has a column of its own: only the names, unless there are several kinds
    if ", " in info.kind:
        return ", ".join(info.provides)
    return ", ".join(one.removeprefix(f"{info.kind} ") for one in info.provides)


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


@command.command("new")
@click.argument("kind", type=click.Choice(scaffold.KINDS))
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default="here",
    help="The folder in which the new one is made.",
)
def new(kind: str, name: str, into: Path) -> None:
    """Write a complete plugin: code, tests on the contract suite, README, entry point. It passes as it stands."""
    if problem := scaffold.problem(name):
        raise click.BadParameter(problem, param_hint="NAME")
    folder = into / scaffold.folder(kind, name)
    plugins = load()
    taken = getattr(plugins, {"policy": "policies"}.get(kind, f"{kind}s"))
    if name in taken:
        raise CliError(
            f"{kind} {name!r} is installed already",
            "two plugins cannot provide the same name: the second would be skipped",
            "choose another name; `tulle plugins list` shows those that are taken",
        )
    if folder.exists():
        raise CliError(f"{folder} exists already", "nothing in it was touched", "choose another name, or --into")
    try:
        for path, text in scaffold.render(kind, name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{folder} cannot be written", str(error), "--into names another folder") from error
    click.echo(f"{folder}: works, and passes its tests. Install it, look, test it, then change it:")
    click.echo(f"  pip install --no-deps --no-build-isolation --editable {folder}")
    click.echo("  tulle plugins list")
    click.echo(f"  pytest {folder}")
