"""What every task of the daemon waits for, written to its log on SIGUSR1: for the day when something hangs.

kill -USR1 $(pgrep -f tulle_lab.daemon); less STATE/daemon.log
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator

import trio


async def dump_on_signal() -> None:
    """Wait for the signal for ever."""
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            root = trio.lowlevel.current_root_task()
            if root is not None:
                print("\n".join(tree(root)), file=sys.stderr, flush=True)


def tree(task: trio.lowlevel.Task, depth: int = 0) -> Iterator[str]:
    """A task and its children: name, and the line where it waits."""
    frames = [f"{entry.filename.rpartition('/')[2]}:{entry.lineno} {entry.name}" for entry in _stack(task)]
    yield f"{'  ' * depth}{task.name}: {' > '.join(frames)}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from tree(child, depth + 1)


def _stack(task: trio.lowlevel.Task) -> traceback.StackSummary:
    return traceback.StackSummary.extract(task.iter_await_frames())
