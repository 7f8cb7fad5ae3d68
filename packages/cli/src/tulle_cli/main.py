"""The root command. Owns help, lazy loading and suggestions; each command is a module in command/.

`tulle --help` imports click and this file's neighbours, nothing else: start-up stays well under 150 ms, and
tests/test_startup.py names the modules that must not be imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from tulle_cli import registry

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Lazy(click.Group):
    """A group whose commands are imported when they are run (click's documented pattern), from registry.py."""

    @cached_property
    def known(self) -> dict[str, registry.Known]:
        """All commands; entry points are read once."""
        return registry.known()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-ins in the table's order, then the rest by name."""
        return list(self.known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command. Raises CliError when it is there but broken."""
        found = self.known.get(cmd_name)
        return found.load() if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown name is answered with the nearest one."""
        if args and args[0] not in self.known and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], self.known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "`tulle --help` lists what there is."
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Static help lines: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.help) for command in self.known.values()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and static help: no command is imported."""
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(command.name, help=command.help)
            for command in self.known.values()
            if command.name.startswith(incomplete)
        ] + click.Command.shell_complete(self, ctx, incomplete)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from tulle_cli import version

        click.echo(f"tulle {version()}")
        ctx.exit()


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Say the version.")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Tulle: a service mesh that you can read.

    \b
    Begin with   tulle check --pre      what this machine can do
                 tulle demo             the whole mesh, told in a minute

    Exit codes: 0 done, 1 a check or the operation failed, 2 the command line is wrong.
    """
    if os.environ.get("NO_COLOR"):  # https://no-color.org: present and not empty
        ctx.color = False


def main(run: Callable[..., Any] = root) -> None:
    """The console script `tulle`."""
    run(prog_name="tulle")


if __name__ == "__main__":
    main()
