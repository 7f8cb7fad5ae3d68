"""`apply`, `delete` and `get`: objects."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tulle_lab.commands.common import (
    client,
    colour,
    command,
    files_option,
    namespace_option,
    read_files,
    timeout_option,
    warn,
)
from tulle_lab.errors import LabError


@command("apply")
@files_option
@namespace_option
@click.option("--wait/--no-wait", default=False, help="Wait until the workloads are ready.")
@timeout_option(120)
def apply_command(ctx: click.Context, files: tuple[str, ...], namespace: str, wait: bool, timeout: float) -> None:
    """Create or change what manifests describe: all of it, or nothing when anything in it is wrong."""
    if not files:
        raise click.UsageError("say what to apply: -f FILE")
    lab = client(ctx)
    result = lab.ask("apply", {"sources": read_files(files), "namespace": namespace})
    for line in result["lines"]:
        click.echo(line)
    warn(result["warnings"])
    if wait:
        lab.ask("ready", {"keys": result["keys"], "timeout": timeout}, lambda item: click.echo(item["line"]))
    if result["refused"]:
        sys.exit(1)


@command("delete")
@files_option
@click.argument("kind", required=False)
@click.argument("names", nargs=-1)
@namespace_option
@click.option("--grace-period", type=int, help="Seconds that pods have to stop (default: their own).")
@click.option("--force", is_flag=True, help="Kill pods at once.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is gone (default).")
@timeout_option(120)
def delete_command(
    ctx: click.Context,
    files: tuple[str, ...],
    kind: str | None,
    names: tuple[str, ...],
    namespace: str,
    grace_period: int | None,
    force: bool,
    ignore_not_found: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Delete what manifests describe (-f FILE), or KIND NAME..., or KIND/NAME."""
    if kind and "/" in kind and not names:
        kind, name = kind.split("/", 1)
        names = (name,)
    if not files and not (kind and names):
        raise click.UsageError("say what to delete: -f FILE, or KIND NAME")
    lab = client(ctx)
    result = lab.ask(
        "delete",
        {
            "sources": read_files(files),
            "kind": kind,
            "names": list(names),
            "namespace": namespace,
            "grace": 0 if force else grace_period,
            "missing_ok": ignore_not_found,
        },
    )
    for line in result["lines"]:
        click.echo(line)
    if wait and result["keys"]:
        targets = [f"{kind}/{name}" for kind, _, name in result["keys"]]
        spaces = {space for _, space, _ in result["keys"]}
        for space in spaces:
            mine = [target for target, key in zip(targets, result["keys"], strict=True) if key[1] == space]
            lab.ask("wait", {"targets": mine, "namespace": space, "timeout": timeout, "for": "delete"})


@command("get")
@click.argument("kind")
@click.argument("name", required=False)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option("-l", "--selector", help="Labels: app=web,tier=front.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml", "name"]), default="table", show_default=True
)
@click.option("--no-headers", is_flag=True, help="A table without its first line.")
def get_command(
    ctx: click.Context,
    kind: str,
    name: str | None,
    namespace: str,
    all_namespaces: bool,
    selector: str | None,
    output: str,
    no_headers: bool,
) -> None:
    """Show objects: pods, services, deployments, ... or all; KIND NAME or KIND/NAME for one."""
    from tulle_lab.commands import tables

    if "/" in kind and not name:
        kind, name = kind.split("/", 1)
    where = None if all_namespaces else namespace
    request = {"kind": kind, "name": name, "namespace": where, "selector": _labels(selector)}
    groups = client(ctx).ask("get", request)["groups"]
    if output in ("json", "yaml"):
        _dump([item for group in groups for item in group["items"]], name is not None, output)
        return
    if output == "name":
        for group in groups:
            for item in group["items"]:
                click.echo(f"{group['kind'].lower()}/{item['metadata']['name']}")
        return
    shown = [group for group in groups if group["items"]]
    if not shown:
        there = "" if all_namespaces else f" in namespace {namespace}; -A looks in all"
        click.echo(f"nothing found{there}", err=True)
    for index, group in enumerate(shown):
        table = tables.table(group["kind"], group["items"], wide=output == "wide", namespaces=all_namespaces)
        click.echo(("\n" if index else "") + tables.render(table, header=not no_headers, colour=colour(sys.stdout)))


def _labels(text: str | None) -> dict[str, str]:
    labels = {}
    for part in (text or "").split(","):
        if part:
            key, equals, value = part.replace("==", "=").partition("=")
            if not equals:
                raise LabError(f"selector {part!r} is not NAME=VALUE")
            labels[key.strip()] = value.strip()
    return labels


def _dump(items: list[Any], single: bool, output: str) -> None:
    value = items[0] if single and len(items) == 1 else {"apiVersion": "v1", "kind": "List", "items": items}
    if output == "json":
        click.echo(json.dumps(value, indent=2))
    else:
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False), nl=False)
