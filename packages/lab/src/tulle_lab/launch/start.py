"""Starts the lab's process from a command and waits until it answers.

Owns the hand-over (lock, ready pipe) and the message when it fails. Refuses to know namespaces (launch/__main__.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from tulle_lab.errors import LabError
from tulle_lab.launch import plugins, requirements
from tulle_lab.state import StateFolder


@dataclass(frozen=True)
class Started:
    """What `start` found: files of a former lab that had died, and were cleared."""

    cleared: list[str]


def start(state: StateFolder, extra: tuple[str, ...] = ()) -> Started | None:
    """Start a lab in `state`; None when one is already running there. Raises LabError when it cannot start.

    `extra`: folders with plugins (launch/plugins.py), which a lab that runs already must have been started with.
    """
    lock = state.try_lock()
    if lock is None:
        if extra and plugins.of_running(state.pid()) not in (extra, None):
            raise LabError(
                "the lab is running already, with other plugins",
                "programs load them when they start",
                "tulle lab down, and the same again",
            )
        return None
    try:
        cleared = state.clear()
        requirements.require(state.path)
        ready_r, ready_w = os.pipe()
        with open(state.daemon_log, "ab") as log:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "tulle_lab.launch", str(state.path), str(lock), str(ready_w)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock, ready_w),
                start_new_session=True,
                env=_environment() | plugins.variables(extra),
                cwd="/",
            )
        os.close(ready_w)
        with open(ready_r, "rb") as pipe:
            answer = pipe.read()
        launcher.wait()
    finally:
        os.close(lock)  # the lab has its own copy; the lock is free again only when that is gone
    _check(answer, state)
    return Started(cleared)


def _environment() -> dict[str, str]:
    """Only what the lab's processes need of the user's environment."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "TZ") if name in os.environ}
    path = os.environ.get("PATH", os.defpath)
    return {**kept, "PATH": ":".join([path, "/usr/local/sbin", "/usr/sbin", "/sbin"]), "PYTHONSAFEPATH": "1"}


def _check(answer: bytes, state: StateFolder) -> None:
    try:
        data = json.loads(answer.decode())
    except ValueError:
        tail = state.daemon_log.read_text(errors="replace").splitlines()[-15:]
        raise LabError(
            "the lab did not start",
            "its process ended early; its last lines:\n" + "\n".join(f"  {line}" for line in tail),
            f"tulle check --pre, or read {state.daemon_log}",
        ) from None
    if "what" in data:
        raise LabError.from_json(data)
