"""What commands share: the client, options, errors on the terminal, reading -f."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tulle_lab.client import Client
from tulle_lab.errors import LabError

F = TypeVar("F", bound=Callable[..., Any])

namespace_option = click.option("-n", "--namespace", default="default", show_default=True, help="Namespace.")
files_option = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    metavar="FILE",
    help="Manifest: a file, a folder, or - for standard input.",
)


def timeout_option(seconds: float) -> Callable[[F], F]:
    """`--timeout`, in seconds; Kubernetes' notation (30s, 2m) is understood."""
    return click.option(
        "--timeout", type=Duration(), default=f"{seconds:g}s", show_default=True, help="How long to wait."
    )


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click only
    """Seconds, or 500ms, 30s, 2m, 1h."""

    name = "duration"
    _UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        for unit, factor in self._UNITS:
            number = value.removesuffix(unit) if unit else value
            if value.endswith(unit) and number.replace(".", "", 1).isdigit():
                return float(number) * factor
        raise click.BadParameter(f"{value!r} is not a duration; 30s, 2m and 500ms are", ctx, param)


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A click command whose LabErrors become one clear message and exit code."""
    settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})

    def decorate(function: Callable[..., Any]) -> click.Command:
        make: Any = click.command(name, **settings)  # click types this for each way of calling it but ours
        made: click.Command = make(click.pass_context(tell_errors(function)))
        return made

    return decorate


def tell_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Print a LabError on standard error and exit with its code."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except LabError as error:
            click.echo(f"{click.style('error', fg='red') if colour(sys.stderr) else 'error'}: {error}", err=True)
            sys.exit(error.code)
        except PermissionError as error:
            where = "TULLE_LAB_STATE=FOLDER, or tulle lab --state FOLDER, chooses a folder of your own"
            click.echo(f"error: no permission for {error.filename}\n  try: {where}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted; the lab goes on (tulle lab down ends it)", err=True)
            sys.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has seen enough
            sys.exit(0)

    return wrapper


def client(ctx: click.Context) -> Client:
    """The client for the state folder that was chosen (`tulle lab --state`)."""
    chosen = (ctx.obj or {}).get("state")
    return Client.default(Path(chosen) if chosen else None)


def read_files(files: tuple[str, ...]) -> list[dict[str, str]]:
    """The manifests' texts, folders read in order of name. Raises LabError."""
    sources = []
    for name in files:
        if name == "-":
            sources.append({"name": "standard input", "text": sys.stdin.read()})
            continue
        path = Path(name)
        if path.is_dir():
            found = sorted(entry for entry in path.iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
            if not found:
                raise LabError(f"the folder {name} has no .yaml, .yml or .json file")
        else:
            found = [path]
        for entry in found:
            try:
                sources.append({"name": str(entry), "text": entry.read_text()})
            except (OSError, UnicodeDecodeError) as error:
                raise LabError(f"cannot read {entry}", getattr(error, "strerror", None) or str(error)) from error
    return sources


def colour(stream: Any) -> bool:
    """Whether to use colour (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and hasattr(stream, "isatty") and stream.isatty()


def warn(warnings: list[str]) -> None:
    """Warnings, on standard error."""
    for warning in warnings:
        click.echo(f"{click.style('warning', fg='yellow') if colour(sys.stderr) else 'warning'}: {warning}", err=True)
