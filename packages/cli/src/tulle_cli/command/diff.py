"""`tulle diff -f FILE`: what manifests would change, at which proxies, before they are applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from tulle_cli import compiled, documents, options, terminal
from tulle_cli.api_client import ApiClient
from tulle_cli.errors import FAILED

MOST_PROXIES = 5
"""Named one by one; of more, the number is told."""
_COLOURS = {"-": "red", "+": "green"}


@click.command("diff")
@click.option("-f", "--filename", "files", multiple=True, required=True, metavar="FILE",
              help="A manifest: a file, a directory, or - for stdin. May be given again.")
@click.option("-n", "--namespace", default=options.DEFAULT_NAMESPACE, envvar="TULLE_NAMESPACE", show_default=True,
              help="The namespace of objects that name none.")
@options.control_plane
@options.output
@click.pass_context
def command(
    ctx: click.Context, /, files: tuple[str, ...], namespace: str, api: str | None, output: str
) -> None:
    """What manifests would change, at which proxies, if they were applied. Nothing is.

    The control plane takes them into a copy of what it knows, and compares what it would tell each proxy: routes,
    policies and grants; other kinds are left out, and named. Exits 1 when an object would be refused.

    \b
    tulle diff -f new.yaml -n demo
    """
    given = [_placed(one, namespace) for one in _objects(documents.read(files))]
    answer = ApiClient(api).post("/api/v1/rehearse", {"objects": given})
    if output == "json":
        terminal.echo_json(answer)
    else:
        for line in told(answer):
            click.secho(line, fg=_COLOURS.get(line.strip()[:1]))
    if any(one["change"] == "refused" for one in answer["objects"]):
        ctx.exit(FAILED)


def _objects(found: list[Any]) -> Iterator[Any]:
    for one in found:
        yield from (one.get("items") or []) if isinstance(one, dict) and one.get("kind") == "List" else [one]


def _placed(obj: Any, namespace: str) -> Any:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(metadata, dict) or metadata.get("namespace"):
        return obj
    return {**obj, "metadata": {**metadata, "namespace": namespace}}


def told(answer: Mapping[str, Any]) -> Iterator[str]:
    """The answer in lines: the objects, then each destination with what goes and what comes."""
    for one in answer["objects"]:
        name = f"{one['kind'] or 'object'} {one['namespace']}/{one['name']}"
        yield f"{name}: {one['change']}" + (f": {one['problem']}" if one["problem"] else "")
        for condition in one["conditions"]:
            if condition["status"] == "False":
                yield f"    not {condition['type']} ({condition['reason']}): {condition['message']}"
    if not answer["destinations"]:
        yield "No proxy would be told anything new."
    for one in answer["destinations"]:
        yield ""
        yield f"{_place(one)}: {_proxies(one['proxies'])}"
        lines = compiled.differences(one["before"], one["after"])
        yield from (f"  {line}" for line in lines or ["  only endpoints of backends"])


def _place(one: Mapping[str, Any]) -> str:
    if one["destination"] == "inbound":
        return f"the own ports of pods in namespace {one['client']}"
    return f"{one['service'] or one['destination']}, for clients in namespace {one['client']}"


def _proxies(names: list[str]) -> str:
    if not names:
        return "no proxy has asked for it yet"
    if len(names) > MOST_PROXIES:
        return f"{len(names)} proxies"
    return f"{len(names)} prox{'y' if len(names) == 1 else 'ies'}, {', '.join(names)}"
