"""`tulle proxy status` and `tulle proxy config POD`: what the proxies should run, and do run."""

from __future__ import annotations

import click

from tulle_cli import options, proxies, terminal
from tulle_cli.api_client import ApiClient


@click.group("proxy")
def command() -> None:
    """What the proxies run."""


@command.command("status")
@click.argument("pod", required=False)
@options.namespace
@options.control_plane
@options.output
def status(pod: str | None, namespace: str | None, api: str | None, output: str) -> None:
    """Whether each proxy runs what the control plane wants: SYNCED, STALE or REJECTED.

    With POD (a name, its beginning, or NAMESPACE/POD): each destination that proxy subscribes to.
    """
    client = ApiClient(api)
    if pod:
        found = _find(client, pod, namespace)
        if output == "json":
            terminal.echo_json(found)
        else:
            rows = [proxies.one_cells(item) for item in found["destinations"]]
            click.echo(terminal.columns(proxies.ONE_HEAD, rows))
            _troubles([found])
        return
    answer = client.get("/api/v1/proxies", {"namespace": namespace})
    if output == "json":
        terminal.echo_json(answer)
        return
    rows = [proxies.status_cells(item) for item in answer["proxies"]]
    where, elsewhere = options.place(namespace)
    click.echo(
        terminal.columns(proxies.STATUS_HEAD, rows, proxies.NUMERIC)
        if rows
        else f"No proxy of {where} is connected.{elsewhere}"
    )
    _troubles(answer["proxies"])


@command.command("config")
@click.argument("pod")
@click.option("--destination", metavar="TEXT", help="Only destinations whose address or Service holds TEXT.")
@options.namespace
@options.control_plane
@options.output
def config(pod: str, destination: str | None, namespace: str | None, api: str | None, output: str) -> None:
    """The configuration last sent to the proxy of POD (a name, its beginning, or NAMESPACE/POD).

    `-o json` has all of it, in the field names of proto/tulle/v1/discovery.proto.
    """
    client = ApiClient(api)
    meant = _find(client, pod, namespace)
    found = client.get(f"/api/v1/proxies/{meant['namespace']}/{meant['pod']}")
    if destination:
        found["destinations"] = [
            item
            for item in found["destinations"]
            if destination in item["destination"] or destination in (item.get("service") or "")
        ]
    if output == "json":
        terminal.echo_json(found)
        return
    rows = [row for item in found["destinations"] for row in proxies.config_cells(item)]
    click.echo(
        terminal.columns(proxies.CONFIG_HEAD, rows, proxies.NUMERIC)
        if rows
        else "It has no configuration: its application has called nobody yet."
    )
    _troubles([found])


def _find(client: ApiClient, pod: str, namespace: str | None) -> proxies.Proxy:
    return proxies.find(client.get("/api/v1/proxies")["proxies"], pod, namespace)


def _troubles(found: list[proxies.Proxy]) -> None:
    for line in proxies.troubles(found):
        click.secho(line, fg="red", err=True)
