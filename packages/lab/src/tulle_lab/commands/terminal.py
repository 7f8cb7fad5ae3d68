"""`exec -t`: a pseudo-terminal between the user's and the program's.

Owns the relay. The program gets the far end as its controlling terminal; ours is raw meanwhile, then restored.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import termios
import threading
import tty
from typing import Any

from tulle_lab.client import Client
from tulle_lab.errors import LabError


def run_in_terminal(lab: Client, request: dict[str, Any]) -> int:
    """Run the request's command with a terminal; its exit code. Standard input must be one."""
    near, far = os.openpty()
    _copy_size(near)
    signal.signal(signal.SIGWINCH, lambda *_: _copy_size(near))
    done_r, done_w = os.pipe()
    outcome: list[Any] = []
    with lab.open("exec", {**request, "terminal": True}, fds=(far, far, far)) as call:
        os.close(far)

        def wait() -> None:
            try:
                for _ in call.items():
                    pass
                outcome.append(call.result["code"])
            except LabError as error:
                outcome.append(error)
            os.close(done_w)

        threading.Thread(target=wait, daemon=True).start()
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            _relay(near, done_r)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    if isinstance(outcome[0], LabError):
        raise outcome[0]
    return int(outcome[0])


def _relay(near: int, done: int) -> None:
    """Copy both ways until the program has ended and all that it wrote is shown."""
    sources = [0, near, done]
    while True:
        readable, _, _ = select.select(sources, [], [])
        if near in readable:
            try:
                data = os.read(near, 65536)
            except OSError:  # EIO: the far end is closed
                data = b""
            if data:
                os.write(sys.stdout.fileno(), data)
                continue
            sources.remove(near)
        if 0 in readable:
            data = os.read(0, 65536)
            if data:
                os.write(near, data)
            else:
                sources.remove(0)
        if done in readable and near not in readable:
            return


def _copy_size(near: int) -> None:
    size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
    fcntl.ioctl(near, termios.TIOCSWINSZ, size)
