"""`up` and `down`: the lab's beginning and end."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import Any

import click

from tulle_lab.client import Client, NoLab
from tulle_lab.commands.common import client, command, files_option, namespace_option, read_files, timeout_option, warn
from tulle_lab.errors import LabError
from tulle_lab.state import StateFolder

_DOWN_TIMEOUT = 30.0
_ANSWER_TIMEOUT = 10.0


@command("up")
@files_option
@namespace_option
@click.option(
    "--system/--no-system",
    default=True,
    help="Run Tulle's control plane and admission controller (default), or pods only.",
)
@click.option(
    "--plugins",
    metavar="FOLDER[,...]",
    envvar="TULLE_PLUGINS",
    default="",
    help="Folders in which plugins are installed (pip install --target FOLDER). [env: TULLE_PLUGINS]",
)
@timeout_option(120)
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def up_command(
    ctx: click.Context, files: tuple[str, ...], namespace: str, system: bool, plugins: str, timeout: float, quiet: bool
) -> None:
    """Start the lab and wait until everything in it is ready.

    A lab that runs already is used as it is. What a lab that died has left is cleared first.
    """
    from tulle_lab.kinds.manifests import Source, read
    from tulle_lab.launch.plugins import folders
    from tulle_lab.launch.start import start

    began = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    sources = read_files(files)
    read([Source(**source) for source in sources], namespace)  # a typo is told before anything is started
    extra = folders(plugins)
    lab = client(ctx)
    try:
        started = start(lab.state, extra)
        if started is None:
            say(f"the lab is running already ({lab.state.path})")
            _wait_for_answer(lab)
        else:
            if started.cleared:
                say("cleared what a former lab had left")
            say(f"the lab is up: namespaces, network, names ({time.monotonic() - began:.1f} s)")
        if system:
            _apply(lab, say, timeout, "system")
        if sources:
            _apply(lab, say, timeout, "apply", sources=sources, namespace=namespace)
        say(f"ready ({time.monotonic() - began:.1f} s)")
    except KeyboardInterrupt:
        raise LabError(
            "interrupted", "the lab may be running, without all that was asked", "tulle lab down, or the same again"
        ) from None


def _apply(lab: Client, say: Any, timeout: float, verb: str, **request: Any) -> None:
    """Apply and wait; each line as it becomes true."""
    result = lab.ask(verb, request)
    warn(result["warnings"])
    if result["refused"]:
        raise LabError("not everything was created", "see the warnings above")
    lab.ask("ready", {"keys": result["keys"], "timeout": timeout}, lambda item: say(item["line"]))


def _wait_for_answer(lab: Client) -> None:
    """Another `up` may be starting it just now."""
    deadline = time.monotonic() + _ANSWER_TIMEOUT
    while True:
        try:
            lab.ask("get", {"kind": "namespaces"})
            return
        except LabError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@command("down")
@click.option("--now", is_flag=True, help="Kill everything at once.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def down_command(ctx: click.Context, now: bool, quiet: bool) -> None:
    """Stop the lab: pods in order, then its namespaces. Nothing is left on the machine."""
    lab = client(ctx)
    state = lab.state
    if not state.is_running():
        state_was_there = state.record.exists()
        _clear(state)
        if not quiet:
            click.echo("no lab was running" + ("; cleared what a former one had left" if state_was_there else ""))
        return
    pidfd = _open_pid(state)
    if not now:
        try:
            lab.ask("down", {})
        except NoLab:
            pass
        except LabError as error:
            click.echo(f"{error}; killing it", err=True)
            now = True
    if pidfd is not None:
        if now:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _wait_pid(pidfd)
    _clear(state)
    if not quiet:
        click.echo("the lab is down")


def _open_pid(state: StateFolder) -> int | None:
    """A descriptor for PID 1 of the lab: unlike a number, it cannot come to mean another process."""
    pid = state.pid()
    if pid is None:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _wait_pid(pidfd: int) -> None:
    ready, _, _ = select.select([pidfd], [], [], _DOWN_TIMEOUT)
    if not ready:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], _DOWN_TIMEOUT)
    os.close(pidfd)


def _clear(state: StateFolder) -> None:
    """Remove the state folder's contents once the lock is free."""
    if not state.path.exists():
        return
    lock = state.try_lock()
    if lock is None:
        raise LabError("the lab's processes did not end", f"{state.lock} is still locked", "tulle lab down --now")
    try:
        state.clear(keep_lock=False)
    finally:
        os.close(lock)
