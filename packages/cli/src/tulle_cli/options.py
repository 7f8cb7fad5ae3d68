"""Options that several commands share, so that each means the same everywhere.

`-n NAMESPACE`, `-A`, `-o table|json`, `--control-plane`. As decorators, to stand above a command's function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_NAMESPACE = "default"


def output(function: F) -> F:
    """`-o table|json` as `output`."""
    return click.option(
        "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
        help="Form of the output.",
    )(function)


def namespace(function: F) -> F:
    """`-n NAMESPACE` and `-A`, as `namespace`: a name, or None for all of them."""

    def settle(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        if value:
            ctx.params["namespace"] = None
        return value

    function = click.option(
        "-A", "--all-namespaces", is_flag=True, expose_value=False, callback=settle, help="Every namespace."
    )(function)
    return click.option(
        "-n", "--namespace", default=DEFAULT_NAMESPACE, envvar="TULLE_NAMESPACE", show_default=True, is_eager=True,
        help="The namespace to look at.",
    )(function)


def place(namespace: str | None) -> tuple[str, str]:
    """For messages about nothing: where was looked, and where else to look (with a blank before it, or nothing)."""
    return ("any namespace", "") if namespace is None else (f"namespace {namespace}", " -A looks at all of them.")


def control_plane(function: F) -> F:
    """`--control-plane URL|unix:PATH|kubernetes[:CONTEXT]` as `api`: where the control plane's API is."""
    return click.option(
        "--control-plane", "api", envvar="TULLE_API", metavar="URL|unix:PATH|kubernetes[:CONTEXT]",
        show_envvar=True, help="The control plane's API; by default the lab's socket.",
    )(function)


def cluster(function: F) -> F:
    """`--context NAME` and `--kubeconfig FILE`, as kubectl has them."""
    function = click.option("--context", default=None, metavar="NAME", help="A context of the kubeconfig.")(function)
    return click.option("--kubeconfig", default=None, metavar="FILE", help="Else as kubectl finds it.")(function)
