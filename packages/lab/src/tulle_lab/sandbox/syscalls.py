"""System calls that Python 3.11 has no function for, each under its Linux name. Raises OSError with errno.

Owns numbers and ctypes signatures. Refuses to know what a container is. See the man page of the same name.
"""

from __future__ import annotations

import ctypes
import os
from enum import IntFlag

_libc = ctypes.CDLL(None, use_errno=True)


class Clone(IntFlag):
    """Namespace kinds, for `unshare` and `setns` (linux/sched.h)."""

    NEWNS = 0x00020000
    NEWCGROUP = 0x02000000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000


class Mount(IntFlag):
    """Flags of mount(2)."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    REMOUNT = 0x20
    BIND = 0x1000
    REC = 0x4000
    PRIVATE = 1 << 18


MNT_DETACH = 2
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 0x1
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218}.get(os.uname().machine, -1)
_SYS_MOUNT_SETATTR = 442  # the same on every architecture: newer than the unified table (Linux 5.12)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(kinds: Clone) -> None:
    """Leave shared namespaces for new ones. NEWPID takes effect for children only."""
    _check(_libc.unshare(int(kinds)), f"unshare({kinds!r})")


def setns(fd: int, kind: Clone) -> None:
    """Enter the namespace that `fd` refers to. NEWPID takes effect for children only."""
    _check(_libc.setns(fd, int(kind)), f"setns({kind!r})")


def mount(source: str, target: str, kind: str = "", flags: Mount | int = 0, options: str = "") -> None:
    """mount(2); an empty string stands for NULL."""
    _check(
        _libc.mount(
            os.fsencode(source) or None,
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(int(flags)),
            options.encode() or None,
        ),
        f"mount {kind or 'bind'} {source} on {target}",
    )


def bind(source: str, target: str, *, readonly: bool = False) -> None:
    """Show `source` (with what is mounted below it) at `target` too."""
    mount(source, target, flags=Mount.BIND | Mount.REC)
    if readonly:
        make_readonly(target)


def make_readonly(path: str) -> None:
    """Make the mount at `path`, and all below it, read-only in this mount namespace."""
    attr = _MountAttr(attr_set=MOUNT_ATTR_RDONLY)
    _check(
        _libc.syscall(
            _SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), AT_RECURSIVE, ctypes.byref(attr), ctypes.sizeof(attr)
        ),
        f"mount_setattr {path} read-only",
    )


def unmount(path: str) -> None:
    """Detach a mount lazily."""
    _check(_libc.umount2(os.fsencode(path), MNT_DETACH), f"umount {path}")


def prctl(option: int, argument: int | bytes) -> None:
    """prctl(2) with one argument."""
    value = ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl({option})")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace; the former one appears at `put_old`."""
    _check(
        _libc.syscall(_SYS_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old)),
        f"pivot_root {new_root}",
    )


def name_process(name: str) -> None:
    """What `ps -o comm` shows; 15 bytes at most."""
    prctl(PR_SET_NAME, name.encode()[:15])
