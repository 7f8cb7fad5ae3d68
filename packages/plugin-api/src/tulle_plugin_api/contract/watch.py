"""What a call does besides computing: files, sockets, processes, threads, sleeping. For "pure" and "never waits".

Owns one audit hook (PEP 578), asleep unless a `watched` block is open. Reading Python's own files is an import, and
allowed: an import inside a function is a way to save memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVENTS = ("socket.", "subprocess.", "os.system", "os.fork", "os.posix_spawn", "os.exec", "time.sleep",
           "_thread.start_new_thread", "urllib.", "http.", "sqlite3.", "tempfile.")  # fmt: skip
_IMPORTS = (".py", ".pyc", ".so", ".pyd", ".pth")

_seen: list[str] | None = None
_installed = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path = str(args[0])
        # a number: a descriptor that somebody has opened already; so does an import that writes bytecode
        if not isinstance(args[0], int) and not path.endswith(_IMPORTS) and "__pycache__" not in path:
            _seen.append(f"open {path}")
    elif event.startswith(_EVENTS):
        _seen.append(event)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What happens inside the block, by name: ["socket.connect", "open /etc/hosts"]. Empty is good."""
    global _seen, _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)
    seen: list[str] = []
    _seen = seen
    try:
        yield seen
    finally:
        _seen = None
