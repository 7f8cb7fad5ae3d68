"""`scale`, `rollout` and `wait`: Deployments on their way."""

from __future__ import annotations

from typing import Any

import click

from tulle_lab.commands.common import client, command, namespace_option, timeout_option


def _say(result: Any) -> None:
    for line in result["lines"]:
        click.echo(line)


@command("scale")
@click.argument("target")
@click.option("--replicas", type=click.IntRange(0, 200), required=True, help="How many.")
@namespace_option
def scale_command(ctx: click.Context, target: str, replicas: int, namespace: str) -> None:
    """Set the number of a Deployment's replicas (deploy/NAME)."""
    _say(client(ctx).ask("scale", {"target": target, "replicas": replicas, "namespace": namespace}))


@click.group("rollout", context_settings={"help_option_names": ["-h", "--help"]})
def rollout_command() -> None:
    """Restart a Deployment's pods, or watch them change."""


@command("restart")
@click.argument("target")
@namespace_option
def _restart(ctx: click.Context, target: str, namespace: str) -> None:
    """Replace the pods of a Deployment (deploy/NAME), a few at a time."""
    _say(client(ctx).ask("restart", {"target": target, "namespace": namespace}))


@command("status")
@click.argument("target")
@namespace_option
@timeout_option(120)
def _status(ctx: click.Context, target: str, namespace: str, timeout: float) -> None:
    """Wait until a rollout is done (deploy/NAME)."""
    request = {"target": target, "namespace": namespace, "timeout": timeout}
    _say(client(ctx).ask("rollout-status", request, lambda item: click.echo(item["line"])))


rollout_command.add_command(_restart)
rollout_command.add_command(_status)


@command("wait")
@click.argument("targets", nargs=-1, required=True)
@click.option(
    "--for", "condition", required=True, help="condition=Ready, condition=Available, condition=Complete, delete."
)
@namespace_option
@timeout_option(30)
def wait_command(ctx: click.Context, targets: tuple[str, ...], condition: str, namespace: str, timeout: float) -> None:
    """Wait until a condition holds for pod/NAME, deploy/NAME or job/NAME."""
    request = {"targets": list(targets), "namespace": namespace, "timeout": timeout, "for": condition}
    _say(client(ctx).ask("wait", request))
