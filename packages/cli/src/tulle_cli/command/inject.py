"""`tulle inject`: manifests in, the same with Tulle's containers out. The report goes to stderr.

Owns reading and writing YAML. What is added is the webhook's own function (tulle_admission_controller.manifest),
so that a pod looks the same whoever injected it. For pipes: `tulle inject -f app.yaml | kubectl apply -f -`.
"""

from __future__ import annotations

from typing import Any

import click
import yaml
from tulle_admission_controller.manifest import ManifestInjection, ManifestReport, inject_manifest
from tulle_admission_controller.settings import InjectSettings

from tulle_cli import documents, terminal
from tulle_cli.errors import FAILED
from tulle_cli.options import DEFAULT_NAMESPACE

_COLOURS = {"injected": "green", "skipped": None, "refused": "red"}


@click.command("inject")
@click.option("-f", "--filename", "files", multiple=True, default=["-"], show_default=True, metavar="FILE",
              help="A file, a directory, or - for stdin. May be given again.")
@click.option("-n", "--namespace", default=DEFAULT_NAMESPACE, show_default=True, envvar="TULLE_NAMESPACE",
              help="The namespace of objects that name none.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True,
              help="Form of the output.")
@click.option("--classic", is_flag=True, help="An ordinary container as the proxy, for Kubernetes before 1.29.")
@click.pass_context
def command(ctx: click.Context, files: tuple[str, ...], namespace: str, output: str, classic: bool) -> None:
    """Add the proxy to every workload in manifests.

    What is in the mesh already stays as it is. Exits 1 when a workload was refused; nothing is printed then, so
    that a pipe applies nothing.
    """
    settings = InjectSettings(mode="classic" if classic else "native")
    done = inject_manifest(documents.read(files), settings=settings, namespace=namespace)
    for report in done.reports:
        _say(report)
    if done.refused:
        ctx.exit(FAILED)
    if output == "json":
        terminal.echo_json(_as_list(done))
    else:
        click.echo(yaml.safe_dump_all(done.documents, sort_keys=False, allow_unicode=True), nl=False)


def _say(report: ManifestReport) -> None:
    click.secho(str(report), err=True, fg=_COLOURS[report.outcome])
    for warning in report.warnings:
        click.secho(f"  warning: {warning}", err=True, fg="yellow")


def _as_list(done: ManifestInjection) -> Any:
    if len(done.documents) == 1:
        return done.documents[0]
    return {"apiVersion": "v1", "kind": "List", "items": done.documents}
