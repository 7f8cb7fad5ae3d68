"""`exec` and `logs`: processes and what they write."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from tulle_lab.client import Call
from tulle_lab.commands.common import client, command, namespace_option


class _Exec(click.Command):
    """An option that is the program's own, given without `--`, is answered with what to do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's. Raises click.UsageError."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "put -- before the program: tulle lab exec node -- curl -i URL"
            raise click.UsageError(f"exec has no option {error.option_name}; {hint}", ctx) from None


@command("exec", cls=_Exec)
@click.argument("target")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] PROGRAM [ARGUMENT]...")
@namespace_option
@click.option("-c", "--container", default="", help="Container (default: the first one that is not a sidecar).")
@click.option("-i", "--stdin", is_flag=True, help="As kubectl has it; standard input is always passed on.")
@click.option("-t", "--tty", is_flag=True, help="Give the program a terminal.")
def exec_command(
    ctx: click.Context, target: str, argv: tuple[str, ...], namespace: str, container: str, stdin: bool, tty: bool
) -> None:
    """Run a command in a pod (POD, deploy/NAME), or on the node (node), which is outside of the mesh.

    Its exit code is ours. Put -- before the command.
    """
    lab = client(ctx)
    request = {"target": target, "namespace": namespace, "container": container, "argv": list(argv)}
    if tty and sys.stdin.isatty():
        from tulle_lab.commands.terminal import run_in_terminal

        sys.exit(run_in_terminal(lab, request))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with lab.open("exec", request, fds=(0, 1, 2)) as call:
        _forward_signals(call)
        for _ in call.items():
            pass
        sys.exit(call.result["code"])


def _forward_signals(call: Call) -> None:
    """Ctrl-C and the like are for the program."""

    def forward(number: int, _: FrameType | None) -> None:
        call.send(signal=number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, forward)


@command("logs")
@click.argument("target")
@namespace_option
@click.option("-c", "--container", default="", help="Container (default: the first one that is not a sidecar).")
@click.option("-f", "--follow", is_flag=True, help="Go on as the container writes, until its pod is gone.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("-p", "--previous", is_flag=True, help="Of the run before the last restart.")
def logs_command(
    ctx: click.Context, target: str, namespace: str, container: str, follow: bool, tail: int | None, previous: bool
) -> None:
    """Show what a container wrote (POD, deploy/NAME)."""

    def show(item: Any) -> None:
        os.write(1, item["text"].encode(errors="surrogateescape"))

    request = {
        "target": target,
        "namespace": namespace,
        "container": container,
        "follow": follow,
        "tail": tail,
        "previous": previous,
    }
    client(ctx).ask("logs", request, show)
