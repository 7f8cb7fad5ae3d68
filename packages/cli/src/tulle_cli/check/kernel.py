"""Can this kernel give the lab what it needs: namespaces, and firewall rules in them? Tried, not guessed.

Owns the user namespace's switches. The rest is the init container's own rehearsal (tulle_init_container.preflight):
the real rules, applied and verified in a network namespace that is gone afterwards.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from tulle_plugin_api import Check, CheckResult

from tulle_cli.check.machine import complaint, find_program, is_root
from tulle_cli.check.model import Section, check, failed, passed

CATEGORY = "kernel"

# what forbids user namespaces -> what to do; the first whose file has this value explains the failure
_SWITCHES = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
)


def section() -> Section:
    """The checks of this module."""
    return Section(CATEGORY, _checks(), stops=True)


def _checks() -> Iterator[Check]:
    yield check(CATEGORY, "is Linux", _linux)
    yield check(CATEGORY, "user namespaces can be made", _user_namespace)
    yield from rehearsal()


def rehearsal() -> Iterator[Check]:
    """The init container's lines. They are known only after its rehearsal, hence the laziness."""
    from tulle_init_container import preflight

    for item in preflight.run():
        # its hint says both what went wrong and what to do
        result = passed() if item.ok else failed(item.hint)
        yield check(CATEGORY, item.name, lambda result=result: result)  # type: ignore[misc]


def _linux() -> CheckResult:
    if sys.platform != "linux":
        return failed(f"this is {platform.system()}", "use a Linux machine or virtual machine, or a cluster of kind")
    return passed(platform.release())


def _user_namespace() -> CheckResult:
    if is_root():
        return passed("not needed: running as root")
    unshare = find_program("unshare")
    if unshare is None:
        return failed("the program unshare is not installed", "Debian and Ubuntu: apt-get install util-linux")
    problem = complaint([unshare, "--user", "--map-root-user", "true"])
    if not problem:
        return passed()
    return failed(problem, _switch_to_turn() or "run as root, or allow user namespaces on this machine")


def _switch_to_turn() -> str:
    for path, value, remedy in _SWITCHES:
        file = Path(path)
        if file.exists() and file.read_text().strip() == value:
            return f"as root: {remedy}   (or run as root)"
    return ""
