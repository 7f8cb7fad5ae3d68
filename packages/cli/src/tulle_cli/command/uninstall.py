"""`tulle uninstall`: all that `tulle install` made is gone, policies included. Pods keep the proxies they have."""

from __future__ import annotations

import click
import yaml

from tulle_cli import options
from tulle_cli.cluster import manifests
from tulle_cli.cluster.injected import injected
from tulle_cli.cluster.kubectl import Kubectl


@click.command("uninstall")
@click.option("--timeout", default=120, show_default=True, metavar="SECONDS", help="How long to wait.")
@options.cluster
def command(timeout: int, context: str | None, kubeconfig: str | None) -> None:
    """Take Tulle out of a cluster: webhooks first, so that no pod waits for what is leaving.

    MeshPolicies go with their CRD. Pods that were injected go on, without a control plane, until they are made anew.
    """
    kubectl = Kubectl(context, kubeconfig)
    for name, _ in injected(kubectl):
        click.secho(f"still injected: {name}; `kubectl rollout restart` its owner", err=True, fg="yellow")
    objects = list(reversed(manifests.rendered("ha")))  # what ha has and default has not may be there too
    delete = ("delete", "--ignore-not-found", "--wait", f"--timeout={timeout}s", "-f", "-")
    click.echo(kubectl.run(*delete, given=yaml.safe_dump_all(objects, sort_keys=False)), nl=False)
    click.echo("Tulle is gone.")
