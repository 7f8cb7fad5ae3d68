"""`tulle upgrade`: the Tulle of a cluster becomes this version, if proxies and control plane can meet on the way."""

from __future__ import annotations

import click

from tulle_cli import options, skew
from tulle_cli.cluster import apply
from tulle_cli.cluster.apply import NAMESPACE, Told
from tulle_cli.cluster.injected import injected
from tulle_cli.cluster.kubectl import Kubectl
from tulle_cli.cluster.manifests import Object
from tulle_cli.command.install import read_settings
from tulle_cli.errors import CliError
from tulle_cli.skew import Version

VERSION_LABEL = "app.kubernetes.io/version"
MANAGED_BY = "app.kubernetes.io/managed-by"


@click.command("upgrade")
@click.option("--ha/--no-ha", default=None, help="Change to two of each program, or back to one.")
@click.option("--registry", default=None, metavar="PREFIX", help="Another place of the images.")
@click.option("--set", "pairs", multiple=True, metavar="TULLE_X=VALUE", help="Add or change a setting.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and whether it may.")
@click.option("--timeout", default=180, show_default=True, metavar="SECONDS", help="How long to wait.")
@options.cluster
def command(
    ha: bool | None, registry: str | None, pairs: tuple[str, ...], dry_run: bool, timeout: int,
    context: str | None, kubeconfig: str | None,
) -> None:
    """Bring the Tulle of a cluster to this command's version, as it was installed: --ha, --registry and --set hold on.

    One minor version at a time, forth or back, since proxies are replaced only with their pods: the new control plane
    works with proxies of the version before, and proxies of the new one with the control plane of the version before.
    Refused when any proxy would be further away.
    """
    settings = read_settings(pairs)
    kubectl = Kubectl(context, kubeconfig)
    namespace, installed = _installed(kubectl)
    before = Told.of(namespace)
    if before is None:
        click.secho(
            "how it was installed is not written in the namespace (kubectl apply -k, perhaps): only what is given here "
            "(--ha, --registry, --set) holds", err=True, fg="yellow",
        )  # fmt: skip
        before = Told()
    told = Told(
        ha=before.ha if ha is None else ha,
        registry=before.registry if registry is None else registry,
        settings={**before.settings, **settings},
    )
    objects = told.objects()
    wanted = _version_of(objects[0])
    assert wanted is not None  # deploy/ carries it
    pods = injected(kubectl)
    may(installed, wanted, pods)
    behind = [(name, version) for name, version in pods if version != str(wanted)]
    click.echo(f"from {installed} to {wanted}{', two of each program' * told.ha}; {len(pods)} pods have a proxy")
    if dry_run:
        click.echo("nothing was changed (--dry-run)")
        return
    apply.put(kubectl, objects, timeout, click.echo)
    click.echo(f"Tulle is {wanted} now.")
    if behind:
        click.echo(
            f"{len(behind)} pods keep the proxy that they have until they are made anew (kubectl rollout restart their "
            f"owners; before the next upgrade at the latest):\n{skew.listed(behind)}"
        )


def may(installed: Version, wanted: Version, proxies: list[tuple[str, str]]) -> None:
    """Raises CliError where the upgrade would bring together what does not understand each other."""
    if skew.too_far(installed, wanted):
        raise CliError(
            f"from {installed} to {wanted} is too far for one step",
            f"control plane and proxies understand each other across {skew.ALLOWED} minor version, "
            "and pods keep their proxies while the control plane is replaced",
            f"first upgrade to {skew.next_step(installed, wanted)} with that version's tulle, restart the pods, go on",
        )
    far = skew.judge(str(wanted), proxies).far
    if far:
        raise CliError(
            f"{len(far)} pods have a proxy that a control plane of {wanted} would be too far from",
            skew.listed(far),
            f"make them anew first, so that they have the proxy of {installed}: kubectl rollout restart their owners",
        )


def _installed(kubectl: Kubectl) -> tuple[Object, Version]:
    ours = kubectl.get("namespace,deployment", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=tulle")["items"]
    found: dict[tuple[str, str], Object] = {(each["kind"], each["metadata"]["name"]): each for each in ours}
    namespace = found.get(("Namespace", NAMESPACE), {})
    plane = found.get(("Deployment", "tulle-control-plane"))
    if plane is None:
        raise CliError(
            f"there is no Tulle in this cluster (no Deployment tulle-control-plane in {NAMESPACE})",
            "there is nothing to upgrade",
            "tulle install",
        )
    if plane["metadata"]["labels"].get(MANAGED_BY) == "Helm":
        raise CliError(
            "this Tulle was installed with Helm",
            "what Helm manages, Helm has to upgrade: it would put its own back",
            "tulle install --helm FOLDER && helm upgrade --reset-then-reuse-values RELEASE FOLDER -n NAMESPACE",
        )
    version = _version_of(plane)
    if version is None:
        raise CliError(
            f"which version is installed is not known: the Deployment tulle-control-plane has no label {VERSION_LABEL}",
            "whether its proxies would understand this version cannot be told",
            "tulle uninstall, then tulle install; pods keep their proxies meanwhile",
        )
    return namespace, version


def _version_of(each: Object) -> Version | None:
    return skew.read(str(each["metadata"].get("labels", {}).get(VERSION_LABEL, "")))
