"""The state folder: where it is, what is in it, and who owns it now.

Owns paths and the lock. A lab holds `lock` (flock) for as long as it lives, so the kernel itself says whether one
runs: a stale pid is only a number in a file. Refuses to know what the lab does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TULLE_LAB_STATE"


def default_path() -> Path:
    """$TULLE_LAB_STATE, else $XDG_STATE_HOME/tulle/lab, else ~/.local/state/tulle/lab."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base).absolute() / "tulle" / "lab"


@dataclass(frozen=True)
class StateFolder:
    """Paths of one lab. Nothing is created before `create`."""

    path: Path

    @property
    def lock(self) -> Path:
        """Locked exclusively by a living lab."""
        return self.path / "lock"

    @property
    def record(self) -> Path:
        """JSON: {"pid": PID 1 of the lab as the host sees it}."""
        return self.path / "lab.json"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.path / "lab.sock"

    @property
    def cluster(self) -> Path:
        """The objects: <namespace>/<kind>.<name>.json."""
        return self.path / "cluster"

    @property
    def logs(self) -> Path:
        """<namespace>/<pod>/<container>/<restart>.log."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Sockets and files that system components share with the host (hostPath)."""
        return self.path / "run"

    @property
    def daemon_log(self) -> Path:
        """What the lab's own process says."""
        return self.path / "daemon.log"

    @property
    def _files(self) -> list[Path]:
        return [self.record, self.socket, self.path / "control-plane.sock", self.daemon_log]

    def create(self) -> None:
        """Make the folder, for its owner only."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)

    def try_lock(self) -> int | None:
        """A descriptor that holds the lock, to be inherited by the lab; None when a lab holds it."""
        self.create()
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def is_running(self) -> bool:
        """Whether a lab lives here. Creates nothing."""
        if not self.lock.exists():
            return False
        fd = self.try_lock()
        if fd is None:
            return True
        os.close(fd)
        return False

    def pid(self) -> int | None:
        """PID 1 of the lab as recorded; only meaningful while `is_running`."""
        try:
            return int(json.loads(self.record.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None

    def clear(self, *, keep_lock: bool = True) -> list[str]:
        """Remove what a former lab left; the names removed. Call with the lock held."""
        removed = []
        for entry in [*self._files, self.cluster, self.logs, self.run]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.exists() or entry.is_symlink():
                entry.unlink()
            else:
                continue
            removed.append(entry.name)
        if not keep_lock:
            self.lock.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()  # stays when the user keeps something of their own in it
        return removed


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """A name for the unix socket `path` that fits sun_path (108 bytes, unix(7)) however deep the folder is."""
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def listen(path: Path) -> socket.socket:
    """A listening unix socket at `path`, for its owner only."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        with short_address(path) as address:
            server.bind(address)
    finally:
        os.umask(before)
    server.listen(64)
    return server
