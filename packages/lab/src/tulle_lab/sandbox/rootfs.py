"""A container's file system: this machine's own, read-only, with private writable places and the pod's volumes.

Owns the mounts. Runs in a fresh mount namespace, which takes everything away again when its last process ends; so
nothing here is ever undone. Refuses to know pods: it gets paths.

    /            tmpfs: mount points can be made anywhere, as in a container image's writable layer
    /usr /etc .. the host's, read-only          /var   as root: a private overlay; else the host's, read-only
    /dev         null zero full random urandom tty pts shm       /proc /sys  of the container's own namespaces
    /tmp /run    private and empty              volumes where the pod wants them

Fine here; a real runtime unpacks an image and pivots into that. This is no boundary for hostile programs.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from tulle_lab.sandbox import syscalls
from tulle_lab.sandbox.spec import MountSpec
from tulle_lab.sandbox.syscalls import Mount

BASE = "/run/tulle/root"
"""Where the new root is put together: a directory in the lab's private /run."""

_OLD = "/.host"
_OWN = {"proc", "sys", "dev", "run", "tmp", "var", "lost+found", _OLD[1:]}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_READONLY_PROC = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")


def build(mounts: tuple[MountSpec, ...], hidden: tuple[str, ...] = ()) -> None:
    """Make and enter the root file system, with `hidden` folders empty. Call as root of a new mount namespace."""
    hidden = tuple(os.path.realpath(path) for path in hidden)
    ours = programs()
    volumes = [MountSpec(os.path.realpath(m.source), m.target, m.readonly) for m in mounts]
    syscalls.mount("tulle", BASE, "tmpfs", Mount.NOSUID, "mode=755")
    Path(BASE + _OLD).mkdir()
    syscalls.pivot_root(BASE, BASE + _OLD)
    os.chdir("/")
    _system()
    _devices()
    _kernel()
    _var()
    for path in ours:
        place(_OLD + path, path, readonly=True)
    for path in closed_directories():
        _open(path)
    for path in hidden:
        if os.path.isdir(path):
            syscalls.mount("tulle", path, "tmpfs", Mount.RDONLY, "mode=700")
    for volume in volumes:
        place(_OLD + volume.source, volume.target, readonly=volume.readonly)
    syscalls.unmount(_OLD)
    Path(_OLD).rmdir()


def _system() -> None:
    """The host's top-level directories, read-only, except those that are the container's own."""
    for entry in os.scandir(_OLD):
        if entry.name in _OWN:
            continue
        if entry.is_symlink():
            Path("/", entry.name).symlink_to(os.readlink(entry.path))
        elif entry.is_dir():
            Path("/", entry.name).mkdir()
            syscalls.bind(entry.path, "/" + entry.name, readonly=True)
    for path, mode in (("/tmp", 0o1777), ("/run", 0o755), ("/run/lock", 0o1777)):
        Path(path).mkdir()
        Path(path).chmod(mode)


def programs(paths: Iterable[str] = (sys.prefix, sys.base_prefix, *sys.path)) -> list[str]:
    """Where our own programs are, as far as that is hidden by a private place: a clone may be below /tmp."""
    hidden: dict[str, set[str]] = {}
    for path in map(os.path.realpath, filter(os.path.isdir, paths)):
        for private in ("/tmp", "/run", "/var/tmp"):
            if path.startswith(private + "/"):
                hidden.setdefault(private, set()).add(path)
    found = []
    for private, below in hidden.items():
        common = os.path.commonpath(below)
        found += sorted(below) if common == private else [common]
    return found


def _devices() -> None:
    Path("/dev").mkdir()
    for name in _DEVICES:
        Path("/dev", name).touch()
        syscalls.bind(f"{_OLD}/dev/{name}", f"/dev/{name}")
    for link, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1"), ("stderr", "self/fd/2")):
        Path("/dev", link).symlink_to("/proc/" + target)
    for directory in ("shm", "pts"):
        Path("/dev", directory).mkdir()
    Path("/dev/shm").chmod(0o1777)
    syscalls.mount("devpts", "/dev/pts", "devpts", Mount.NOSUID | Mount.NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    Path("/dev/ptmx").symlink_to("pts/ptmx")


def _kernel() -> None:
    """/proc of this PID namespace and /sys of this network namespace."""
    quiet = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC
    Path("/proc").mkdir()
    syscalls.mount("proc", "/proc", "proc", quiet)
    for path in _READONLY_PROC:
        if os.path.exists(path):
            syscalls.bind(path, path, readonly=True)
    Path("/sys").mkdir()
    try:
        syscalls.mount("sysfs", "/sys", "sysfs", quiet | Mount.RDONLY)
    except OSError:  # some hosts hide parts of /sys and so forbid a new one: then show theirs
        syscalls.bind(f"{_OLD}/sys", "/sys", readonly=True)


def _var() -> None:
    """/var: programs log and keep state there. Their writes stay private, and vanish with the container."""
    Path("/var").mkdir()
    layer = Path("/.layer")
    layer.mkdir()
    syscalls.mount("tulle", str(layer), "tmpfs", Mount.NOSUID, "mode=755")
    for directory in ("upper", "work"):
        (layer / directory).mkdir()
    try:
        syscalls.mount("var", "/var", "overlay", 0, f"lowerdir={_OLD}/var,upperdir={layer}/upper,workdir={layer}/work")
    except OSError:  # in a user namespace when something is mounted below /var
        syscalls.bind(f"{_OLD}/var", "/var", readonly=True)
    syscalls.unmount(str(layer))
    layer.rmdir()
    if not os.path.islink("/var/tmp"):
        place("/tmp", "/var/tmp")


def place(source: str, target: str, *, readonly: bool = False) -> None:
    """Bind `source` at `target`, making the mount point where there is none. Links on the way are followed, so that
    /etc/resolv.conf may be one into /run, and /var/run one to /run."""
    is_directory = os.path.isdir(source)
    path = "/"
    parts = [part for part in os.path.realpath(target).split("/") if part]
    for index, part in enumerate(parts):
        parent, path = path, os.path.join(path, part)
        if os.path.exists(path):
            continue
        if not os.access(parent, os.W_OK) or _is_readonly(parent):
            _open(parent)
        if index + 1 < len(parts) or is_directory:
            Path(path).mkdir()
        else:
            Path(path).touch()
    syscalls.bind(source, path, readonly=readonly)


def _is_readonly(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _open(path: str) -> None:
    """Put a tmpfs with the same entries in the place of a directory: one may add to it, and everybody may pass."""
    hidden = f"/.open{len(os.listdir('/'))}"
    Path(hidden).mkdir()
    syscalls.bind(path, hidden)
    syscalls.mount("tulle", path, "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=755")
    for entry in os.scandir(hidden):
        here = Path(path, entry.name)
        if entry.is_symlink():
            here.symlink_to(os.readlink(entry.path))
            continue
        if entry.is_dir():
            here.mkdir()
        else:
            here.touch()
        try:
            syscalls.bind(entry.path, str(here))
        except OSError:  # what even we may not reach (somebody's FUSE mount) is not shown
            here.rmdir() if entry.is_dir() else here.unlink()
    syscalls.unmount(hidden)
    Path(hidden).rmdir()


def closed_directories() -> list[str]:
    """Directories above this Python and its packages that others may not pass (a home of mode 0700), outermost first.

    A container that runs as another user could otherwise not even start Python.
    """
    wanted = {sys.executable, sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), *sys.path}
    wanted |= {os.path.realpath(path) for path in wanted}
    above = {str(parent) for path in wanted if path.startswith("/") for parent in (Path(path), *Path(path).parents)}
    return sorted((path for path in above if _is_closed(path)), key=lambda path: path.count("/"))


def _is_closed(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and not mode & stat.S_IXOTH
