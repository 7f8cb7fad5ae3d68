"""The lab's own end: asked for, nothing is left of it; killed, the next `up` works."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.machine import Machine, marked
from tests.acceptance.mesh import Mesh
from tests.acceptance.words import failures

GONE_WITHIN = 10.0


def _down(mesh: Mesh) -> Outcome:
    mesh.up()
    during = Machine.look(mesh.lab.marker)
    began = time.monotonic()
    mesh.down()
    seconds = time.monotonic() - began
    left = mesh.before.differences(Machine.look(mesh.lab.marker))
    files = list(mesh.lab.state.iterdir()) if mesh.lab.state.exists() else []
    return judged(
        f"{len(during.processes)} processes in {len(during.namespaces)} namespaces; "
        f"{len(left)} differences after `down` ({seconds:.1f} s)",
        (len(during.processes) > 10, f"only {len(during.processes)} processes were found while it ran"),
        (not left, "; ".join(left)),
        (not files, f"files left: {', '.join(path.name for path in files)}"),
    )


def _killed(mesh: Mesh) -> Outcome:
    """SIGKILL to the daemon, then, in the lab that came after it, to the lab's process 1."""
    mesh.down()
    seconds = []
    left: list[str] = []
    for victim in (_daemon, _first):
        mesh.up()
        os.kill(victim(mesh), signal.SIGKILL)
        left += [f"after {victim.__name__.strip('_')}: {what}" for what in _gone(mesh)]
        mesh.forget()
        began = time.monotonic()
        mesh.up()
        seconds.append(time.monotonic() - began)
        answers = mesh.load(at_least=100, rate=200).enough()
        if answers["failed"]:
            left.append(f"{failures(answers)} after the next `up`")
    mesh.down()
    left += mesh.before.differences(Machine.look(mesh.lab.marker))
    return judged(
        f"2 of 2 kills: nothing left, `up` works ({max(seconds):.1f} s)" if not left else "something is left",
        (not left, "; ".join(left)),
    )


def _first(mesh: Mesh) -> int:
    """The lab's process 1, as the machine numbers it."""
    return int(json.loads((mesh.lab.state / "lab.json").read_text())["pid"])


def _daemon(mesh: Mesh) -> int:
    """The lab's one long-lived process."""
    state = str(mesh.lab.state)
    found = [pid for pid in marked(mesh.lab.marker) if _is_daemon(pid, state)]
    if len(found) != 1:
        raise RuntimeError(f"expected one daemon of the lab, found {found}")
    return found[0]


def _is_daemon(pid: int, state: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return "tulle_lab.daemon" in words and state in words


def _gone(mesh: Mesh) -> list[str]:
    """What of the lab is still there some time after the kill; the kernel takes away the rest by itself."""
    deadline = time.monotonic() + GONE_WITHIN
    while (left := mesh.before.differences(Machine.look(mesh.lab.marker))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


FIGURES = (
    Figure("down-leaves-nothing", "interfaces, namespaces, mounts, firewall rules, processes as before", _down),
    Figure("lab-killed", "kill -9 of the lab's process mid-run: nothing left, then `tulle lab up` works", _killed),
)
