"""`tulle completion SHELL`: click's completion scripts, for `source <(tulle completion bash)`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  source <(tulle completion bash)
    zsh:   source <(tulle completion zsh)
    fish:  tulle completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None  # SHELLS are click's own
    click.echo(kind(ctx.find_root().command, {}, "tulle", "_TULLE_COMPLETE").source())
