"""`tulle stat`: the control plane's RED figures as linkerd's columns."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tulle_cli import figures, options, terminal
from tulle_cli.api_client import ApiClient
from tulle_cli.errors import CliError


@click.command("stat")
@click.argument("resource", metavar="[KIND[/NAME]]", required=False, default="")
@click.option("--window", default="30s", show_default=True, metavar="DURATION", help="How far back: 1s to 10m.")
@click.option("--backends", is_flag=True, help="What callers saw of each backend of Services (svc/NAME: of one).")
@options.namespace
@options.control_plane
@options.output
def command(
    resource: str, window: str, backends: bool, namespace: str | None, api: str | None, output: str
) -> None:
    """Success rate, requests per second and latency.

    KIND is deploy, svc, sts, ds, job or pod; by default workloads are listed. A workload's row is what its pods
    served; a Service's is what its clients saw. Pods of a workload have no rows of their own.

    \b
    tulle stat -A
    tulle stat svc/app-b -n demo --window 1m
    tulle stat svc/app-b -n demo --backends      how a split is going
    """
    kind, name = parse(resource)
    client = ApiClient(api)
    if backends:
        _backends(client, kind, name, window, namespace, output)
        return
    answer = client.get("/api/v1/stat", {"namespace": namespace, "window": window, "kind": kind})
    rows = figures.select(answer["rows"], kind, name)
    if name and not rows:
        raise CliError(
            f"there is no {kind} {name!r} in {f'namespace {namespace}' if namespace else 'any namespace'}",
            "the control plane's catalog does not have it",
            f"tulle stat {kind} -A",
        )
    if output == "json":
        terminal.echo_json({**answer, "rows": rows})
        return
    several = len({row["kind"] for row in rows}) > 1
    click.echo(table(rows, qualified=several) if rows else nothing(client, kind, namespace))


def _backends(
    client: ApiClient, kind: str | None, service: str | None, window: str, namespace: str | None, output: str
) -> None:
    if kind not in (None, "service"):
        right = f"svc/{service}" if service else "svc"
        raise click.UsageError(f"--backends is about Services: tulle stat {right} --backends")
    answer = client.get("/api/v1/backends", {"namespace": namespace, "service": service, "window": window})
    if output == "json":
        terminal.echo_json(answer)
        return
    rows = answer["rows"]
    cells = [figures.backend_cells(row, share) for row, share in zip(rows, figures.shares(rows), strict=True)]
    where, elsewhere = options.place(namespace)
    what = f"Service {service}" if service else "any Service"
    nothing_seen = f"No caller in the mesh has called {what} of {where} in the last {window}.{elsewhere}"
    click.echo(terminal.columns(figures.BACKENDS_HEAD, cells, figures.NUMERIC) if rows else nothing_seen)


def parse(resource: str) -> tuple[str | None, str | None]:
    """("deployment", "app-b") of "deploy/app-b"; (None, None) of nothing. Raises click.UsageError."""
    if not resource:
        return None, None
    word, _, name = resource.partition("/")
    kind = figures.kind_of(word)
    if kind is None:
        raise click.UsageError(f"{word!r} is not a kind with figures; there are {', '.join(figures.KINDS)}")
    return kind, name or None


def table(rows: Sequence[figures.Row], *, qualified: bool) -> str:
    """The rows in columns."""
    return terminal.columns(figures.STAT_HEAD, [figures.stat_cells(row, qualified) for row in rows], figures.NUMERIC)


def nothing(client: ApiClient, kind: str | None, namespace: str | None) -> str:
    """What to say when there are no rows of that kind: where some are, if anywhere."""
    what = {None: "workload", "pod": "pod without a workload"}.get(kind, kind)
    if namespace is None:
        return f"There is no {what}. tulle stat -A lists workloads; tulle lab apply -f FILE adds some."
    rows = figures.select(client.get("/api/v1/stat")["rows"], kind, None)
    elsewhere = sorted({row["namespace"] for row in rows} - {namespace})
    hint = f" There are some in {', '.join(elsewhere)}: -n NAMESPACE, or -A for all." if elsewhere else ""
    return f"There is no {what} in namespace {namespace}.{hint}"
