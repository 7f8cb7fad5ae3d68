"""`tulle routes SVC`: what callers of a Service are told, compiled, in matching order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from tulle_cli import compiled, figures, options, terminal
from tulle_cli.api_client import ApiClient, Refused
from tulle_cli.errors import CliError


@click.command("routes")
@click.argument("service", metavar="SERVICE")
@click.option("--client", metavar="NAMESPACE", help="As clients in this namespace see it.  [default: the Service's]")
@click.option("--port", type=int, help="Only this port of the Service.")
@click.option("-n", "--namespace", default=options.DEFAULT_NAMESPACE, envvar="TULLE_NAMESPACE", show_default=True,
              help="The Service's namespace.")
@options.control_plane
@options.output
def command(
    service: str, client: str | None, port: int | None, namespace: str, api: str | None, output: str
) -> None:
    """The routes of a Service as they are compiled, in the order in which they are tried.

    The first match that fits a request decides. READY is how many endpoints a backend has; the shares of a rule's
    backends are those of its requests. `tulle explain` says what becomes of one request, and `-o json` has all.

    \b
    tulle routes app-b -n demo
    tulle routes svc/app-b -n demo --client shop     as the namespace shop sees it: its own routes win
    """
    answer = fetch(ApiClient(api), namespace, name_of(service), client, port)
    if output == "json":
        terminal.echo_json(answer)
        return
    for number, one in enumerate(answer["tables"]):
        click.echo("\n" * (number > 0) + "\n".join(lines(one["destination"], one["client"], one["config"])))
    for trouble in troubles(answer):
        click.secho(trouble, fg="red", err=True)


def fetch(
    api: ApiClient, namespace: str, name: str, client: str | None = None, port: int | None = None
) -> dict[str, Any]:
    """The control plane's word on a Service. Raises CliError when there is none with that port and an address."""
    query = {"service": name, "namespace": namespace, "client": client, "port": None if port is None else str(port)}
    try:
        found: dict[str, Any] = api.get("/api/v1/routes", query)
    except Refused as refused:
        if refused.status != 404:
            raise
        raise CliError(f"there are no routes of a Service {name} in namespace {namespace}", refused.why,
                       f"tulle stat svc -n {namespace}; calls to pods and headless Services are not routed") from None
    return found


def name_of(word: str) -> str:
    """The Service's name, of "app-b" or "svc/app-b". Raises click.UsageError."""
    kind, slash, name = word.rpartition("/")
    if slash and figures.kind_of(kind) != "service":
        raise click.UsageError(f"{word!r} is no Service: svc/{name}, or {name}")
    return name


def lines(address: str, client: str, config: Mapping[str, Any]) -> Iterator[str]:
    """One port: heading, table, the policies of the Service."""
    yield compiled.heading(address, client, config)
    yield terminal.columns(compiled.HEAD, compiled.cells(config), compiled.NUMERIC)
    for line in compiled.policy_lines(config.get("policies") or []):
        yield f"policy: {line}"


def troubles(answer: Mapping[str, Any]) -> Iterator[str]:
    """What the routes' conditions complain of."""
    for route in answer["routes"]:
        for condition in route["conditions"]:
            if condition["status"] == "False":
                name = f"{route['namespace']}/{route['name']}"
                yield f"{route['kind']} {name}: not {condition['type']} ({condition['reason']}): {condition['message']}"
