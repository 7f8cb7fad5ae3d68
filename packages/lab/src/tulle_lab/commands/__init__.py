"""`tulle lab`: the group and its commands. Each command is imported only when it is run: a fast start.

Owns the names and one line of help for each. Exit codes: 0 done, 1 an error that says what to do, 2 wrong usage; exec
passes on the program's own.
"""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    # command: (module, one line of help)
    "up": ("up", "Start the lab, with Tulle in it, and apply manifests."),
    "apply": ("objects", "Create or change what manifests describe."),
    "delete": ("objects", "Delete what manifests describe, or KIND NAME."),
    "get": ("objects", "Show objects."),
    "exec": ("processes", "Run a command in a pod, or on the node."),
    "logs": ("processes", "Show what a container wrote."),
    "scale": ("rollouts", "Set the number of a Deployment's replicas."),
    "rollout": ("rollouts", "Restart a Deployment's pods, or watch them change."),
    "wait": ("rollouts", "Wait until something is so."),
    "down": ("up", "Stop the lab. Nothing of it is left."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and loads each when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tulle_lab.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say what was probably meant."""
        from tulle_lab.kinds.schema import did_you_mean

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{did_you_mean(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--state",
    type=click.Path(file_okay=False),
    help="State folder (default: $TULLE_LAB_STATE, else ~/.local/state/tulle/lab).",
)
@click.pass_context
def lab(ctx: click.Context, state: str | None) -> None:
    """A whole mesh on this machine: pods are network namespaces, containers are processes.

    \b
    tulle lab up -f app.yaml          start it
    tulle lab get pods -A             look at it
    tulle lab exec node -- curl ...   a client outside of the mesh
    tulle lab down                    and nothing is left
    """
    ctx.obj = {"state": state}
