"""What this machine must have before a lab can start, and how to mend what it lacks.

Owns the list: each requirement is one function that answers with a Missing or None. Used by `tulle lab up` and, as a
plugin, by `tulle check --pre`. Changes nothing.
"""

from __future__ import annotations

import os
import platform
import pwd
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tulle_lab.errors import LabError
from tulle_lab.launch import subids

KERNEL = (5, 12)
"""mount_setattr(2), by which the machine's files are shown to pods read-only."""

SBIN = ":/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Missing:
    """One thing that is not there: `what`, and `fix` (a command, or a sentence)."""

    what: str
    fix: str


def find_program(name: str) -> str | None:
    """Where a program is: on PATH or in the sbin directories, which users' PATHs lack."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + SBIN)


def _kernel() -> Missing | None:
    release = platform.release()
    found = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if platform.system() != "Linux":
        return Missing(
            f"this is {platform.system()}; pods are Linux namespaces", "use a Linux machine or virtual machine"
        )
    if found < KERNEL:
        return Missing(f"the kernel is {release}", "Linux 5.12 or newer is needed (Debian 12, Ubuntu 22.04)")
    return None


def _programs() -> Missing | None:
    packages = {"ip": "iproute2", "iptables-restore": "iptables", "nsenter": "util-linux"}
    missing = [name for name in packages if not find_program(name)]
    if not missing:
        return None
    wanted = " ".join(sorted({packages[name] for name in missing}))
    return Missing(f"not installed: {', '.join(missing)}", f"sudo apt-get install {wanted}")


def _user_namespaces() -> Missing | None:
    if os.getuid() == 0:
        return None
    for path, bad, what in (
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ):
        if _read(path) == bad:
            return Missing(
                f"this machine forbids user namespaces to ordinary users ({path} is {bad})",
                f"sudo sysctl -w {what}   (or run the lab as root)",
            )
    return None


def _id_maps() -> Missing | None:
    if os.getuid() == 0:
        return None
    if not (find_program("newuidmap") and find_program("newgidmap")):
        return Missing("newuidmap and newgidmap are not installed", "sudo apt-get install uidmap")
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        return Missing(
            f"user id {uid} has no name in /etc/passwd, and newuidmap wants one", "run the lab as a named user"
        )
    for path in ("/etc/subuid", "/etc/subgid"):
        found = subids.largest(_read(path), user, uid)
        if found is None or found.count < subids.NEEDED - 1:
            has = f"only {found.count} ids" if found else "no range"
            return Missing(
                f"{path} gives {user} {has}; pods run as several users, so the lab needs {subids.NEEDED}",
                f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}   (or be root)",
            )
    return None


def _readable_code() -> Missing | None:
    closed = [path for path in (__file__, os.__file__) if not os.stat(path).st_mode & 0o004]
    if not closed:
        return None
    return Missing(
        f"{closed[0]} cannot be read by other users, and pods run as users of their own",
        "check the code out with `umask 022`, or: chmod -R a+rX on that folder",
    )


def _capabilities() -> Missing | None:
    if os.getuid() != 0:
        return None
    effective = int(
        next(line for line in _read("/proc/self/status").splitlines() if line.startswith("CapEff")).split()[1], 16
    )
    missing = [name for name, bit in (("SYS_ADMIN", 21), ("NET_ADMIN", 12), ("SETUID", 7)) if not effective >> bit & 1]
    if not missing:
        return None
    return Missing(
        f"root here lacks {', '.join('CAP_' + name for name in missing)} (a container without privileges?)",
        "run it on the machine itself, or in a container with --privileged",
    )


CHECKS: dict[str, Callable[[], Missing | None]] = {
    "Linux 5.12 or newer": _kernel,
    "ip, iptables and nsenter are installed": _programs,
    "user namespaces are allowed": _user_namespaces,
    "a range of user ids (newuidmap)": _id_maps,
    "root may make namespaces": _capabilities,
    "other users may read Tulle's code": _readable_code,
}
"""Every requirement by the line that `tulle check` shows."""


def require(state: Path) -> None:
    """Raise LabError naming everything that is missing, each with its remedy."""
    missing = [found for check in CHECKS.values() if (found := check())]
    if missing:
        raise LabError(
            "the lab cannot run on this machine",
            "".join(f"\n  {found.what}\n    mend it: {found.fix}" for found in missing),
        )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
