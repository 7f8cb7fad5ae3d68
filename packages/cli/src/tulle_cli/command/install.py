"""`tulle install`: what deploy/ says, into a cluster, and wait until it works. `--dry-run` prints it instead."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from tulle_cli import options
from tulle_cli.cluster import apply, chart
from tulle_cli.cluster.apply import NAMESPACE, Told
from tulle_cli.cluster.kubectl import Kubectl
from tulle_cli.errors import USAGE, CliError


class _BadSetting(CliError):
    exit_code = USAGE


@click.command("install")
@click.option("--ha", is_flag=True, help="Two of each program, with disruption budgets.")
@click.option("--registry", default="", metavar="PREFIX", help="Where the images are: PREFIX/tulle/proxy:VERSION.")
@click.option("--set", "pairs", multiple=True, metavar="TULLE_X=VALUE",
              help="A setting of the admission controller (defaults of the proxies). May be given again.")
@click.option("--helm", default=None, metavar="FOLDER", type=click.Path(path_type=Path),
              help="Write a Helm chart of the same manifests instead; --ha, --registry and --set are its values.")
@click.option("--dry-run", is_flag=True, help="Print the manifests, change nothing, need no cluster.")
@click.option("--timeout", default=180, show_default=True, metavar="SECONDS", help="How long to wait.")
@options.cluster
def command(
    ha: bool, registry: str, pairs: tuple[str, ...], helm: Path | None, dry_run: bool, timeout: int,
    context: str | None, kubeconfig: str | None,
) -> None:
    """Put Tulle into a cluster. (One that is there becomes this version; `tulle upgrade` looks first whether it may.)

    Applied with your own credentials (server-side, as field manager "tulle-install"), so that what others have set
    stays theirs. Waits until both programs are ready.
    """
    if helm is not None:
        if ha or registry or pairs or dry_run:
            raise _BadSetting(
                "--helm writes a chart and goes with nothing else",
                "what --ha, --registry and --set say are values of the chart",
                f"tulle install --helm {helm} && helm install tulle {helm} --set ha=true",
            )
        chart.write(helm)
        click.echo(f"{helm} is a chart of Tulle: helm install tulle {helm} -n {NAMESPACE} --create-namespace")
        return
    objects = Told(ha, registry, read_settings(pairs)).objects()
    if dry_run:
        click.echo(yaml.safe_dump_all(objects, sort_keys=False), nl=False)
        return
    apply.put(Kubectl(context, kubeconfig), objects, timeout, click.echo)
    click.echo("Tulle is installed. A namespace joins with: kubectl label namespace NAME tulle.dev/inject=enabled")


def read_settings(pairs: tuple[str, ...]) -> dict[str, str]:
    """`--set`, read; whether there are such settings is asked later. Raises CliError."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise _BadSetting(f"--set {pair}: no value", "expected TULLE_X=VALUE", "--set TULLE_PROXY_CPU_REQUEST=50m")
        settings[name] = value
    return settings
