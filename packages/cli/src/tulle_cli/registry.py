"""Which commands exist, and where their code is: known without importing any of it.

Owns the table of built-in commands and the entry-point group "tulle.commands", by which any distribution adds
one (this is how `tulle lab` arrives):

    [project.entry-points."tulle.commands"]
    lab = "tulle_lab.commands:lab"

A command's module is imported when the command is run, and not before. The line in `tulle --help` is therefore
static: the table's for built-ins, the Summary of the distribution for the rest.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import click

from tulle_cli.errors import CliError

GROUP = "tulle.commands"


@dataclass(frozen=True)
class Known:
    """A command by name, not yet imported."""

    name: str
    target: str  # "module:attribute"
    help: str
    entry: EntryPoint | None = None  # None: built in

    @property
    def source(self) -> str:
        """The distribution that brings it."""
        if self.entry is None:
            return "tulle-cli"
        return self.entry.dist.name if self.entry.dist else self.entry.value

    def load(self) -> click.Command:
        """Import it. Raises CliError naming the command and its distribution when that fails."""
        try:
            if self.entry is not None:
                found = self.entry.load()
            else:
                module, _, attribute = self.target.partition(":")
                found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # whatever a stranger's module does on import, except Ctrl-C
            raise CliError(
                f"the command {self.name!r} of {self.source} cannot be loaded",
                f"{type(error).__name__}: {error} (entry point {self.target})",
                f"fix or uninstall {self.source}; every other command works without it",
            ) from error
        if not isinstance(found, click.Command):
            raise CliError(
                f"the command {self.name!r} of {self.source} cannot be loaded",
                f"{self.target} is {type(found).__name__}, expected a click.Command",
                f"in {self.source}, decorate the function with @click.command() or @click.group()",
            )
        return found


_BUILT_IN = {
    "check": "Is everything there that Tulle needs, and is what runs well?",
    "stat": "Success rate, requests per second and latency of each workload.",
    "edges": "Who calls whom, and whether the connection is secured.",
    "top": "Like stat, live.",
    "routes": "The compiled routes of a Service, in matching order.",
    "diff": "What manifests would change, at which proxies, before they are applied.",
    "explain": "Why a request was answered so (tulle-reason), or what would become of one.",
    "canary": "Move a Service's callers to a new version step by step, and back when they fare badly.",
    "proxy": "What the proxies run: status, config.",
    "install": "Put Tulle into a Kubernetes cluster.",
    "upgrade": "Bring the Tulle of a Kubernetes cluster to this version.",
    "uninstall": "Take Tulle out of a Kubernetes cluster.",
    "inject": "Add the proxy to manifests: stdin to stdout.",
    "plugins": "Which plugins are installed, what is wrong with those that failed; a new one.",
    "demo": "The whole mesh on this machine, told in a minute.",
    "version": "Versions of Tulle's parts.",
    "completion": "Print the completion script for bash, zsh or fish.",
}


def built_in() -> Iterator[Known]:
    """The commands of this distribution."""
    for name, text in _BUILT_IN.items():
        yield Known(name, f"tulle_cli.command.{name}:command", text)


def known() -> dict[str, Known]:
    """All commands by name. A built-in wins over an entry point of its name (`shadowed` lists those)."""
    commands = {command.name: command for command in built_in()}
    for entry in _entries():
        if entry.name not in commands:
            commands[entry.name] = Known(entry.name, entry.value, _summary(entry), entry)
    return commands


def shadowed() -> list[str]:
    """Entry points that cannot be reached, because their name is taken: "stat (my-plugin)"."""
    taken: set[str] = set(_BUILT_IN)
    lost = []
    for entry in _entries():
        if entry.name in taken:
            lost.append(f"{entry.name} ({entry.dist.name if entry.dist else entry.value})")
        taken.add(entry.name)
    return lost


def _entries() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def _summary(entry: EntryPoint) -> str:
    text = entry.dist.metadata["Summary"] if entry.dist and "Summary" in entry.dist.metadata else ""
    return text or f"From {entry.dist.name if entry.dist else entry.value}."
