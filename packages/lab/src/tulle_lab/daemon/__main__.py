"""`python -m tulle_lab.daemon STATE CHANNEL READY`: the daemon, started by PID 1 inside the lab's namespaces.

CHANNEL is the socket to PID 1; READY a pipe on which it says {"ready": true}, or what went wrong.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import trio

from tulle_lab.daemon.lab import Lab, report
from tulle_lab.daemon.server import Server
from tulle_lab.daemon.tasks import dump_on_signal
from tulle_lab.errors import LabError
from tulle_lab.sandbox import syscalls
from tulle_lab.sandbox.runtime import Runtime
from tulle_lab.state import StateFolder, listen


async def _main(state: StateFolder, channel: socket.socket, ready: _Ready) -> None:
    runtime = Runtime(channel)
    lab = Lab(state, runtime)
    control = listen(state.socket)
    async with trio.open_nursery() as below:
        # outlives everything above it: whoever is cancelled ends its processes first, and waits to hear of their end
        below.start_soon(runtime.run)
        below.start_soon(dump_on_signal)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signal, lab)
                await nursery.start(lab.run)
                server = Server(lab, control)
                nursery.start_soon(server.run)
                ready.say({"ready": True})
                await lab.stopped.wait()
                await server.drain()
                nursery.cancel_scope.cancel()
        except* LabError as group:
            error = group.exceptions[0]
            assert isinstance(error, LabError)
            report("the lab ends")
            ready.say(error.to_json())
        below.cancel_scope.cancel()


class _Ready:
    """The pipe on which the command that starts us waits for one word."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd: int | None = fd

    def say(self, word: object) -> None:
        """The first word counts; later ones go nowhere."""
        if self._fd is not None:
            os.write(self._fd, json.dumps(word).encode())
            os.close(self._fd)
            self._fd = None


async def _stop_on_signal(lab: Lab) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            await lab.stop()
            return


def main(arguments: list[str]) -> None:
    """Parse the three arguments and run."""
    os.umask(0o022)
    syscalls.name_process("tulle-lab")
    channel = socket.socket(fileno=int(arguments[1]))
    os.set_inheritable(channel.fileno(), False)
    trio.run(_main, StateFolder(Path(arguments[0])), channel, _Ready(int(arguments[2])))


if __name__ == "__main__":
    main(sys.argv[1:])
