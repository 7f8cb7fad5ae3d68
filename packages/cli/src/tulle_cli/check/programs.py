"""Are the programs there that the lab starts, and do Tulle's own parts fit together?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import distributions

from tulle_plugin_api import Check, CheckResult

from tulle_cli.check.machine import find_program, is_root
from tulle_cli.check.model import Section, check, failed, passed, warned

CATEGORY = "programs"

# program -> Debian's package, whether root can do without it (iptables is the kernel section's)
_SYSTEM = (
    ("ip", "iproute2", False),
    ("newuidmap", "uidmap", True),
    ("newgidmap", "uidmap", True),
)
# console script -> distribution
_OWN = (
    ("tulle-init", "tulle-init-container"),
    ("tulle-proxy", "tulle-data-plane"),
    ("tulle-control-plane", "tulle-control-plane"),
    ("tulle-admission-controller", "tulle-admission-controller"),
    ("tulle-sample-app", "tulle-sample-app"),
)
OLDEST_PYTHON = (3, 11)


def section() -> Section:
    """The checks of this module."""
    return Section(
        CATEGORY,
        [
            check(CATEGORY, f"Python is {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer", _python),
            *(_system(*row) for row in _SYSTEM if not (row[2] and is_root())),
            check(CATEGORY, "Tulle's programs are installed", _own),
            check(CATEGORY, "Tulle's parts have one version", _versions),
            check(CATEGORY, "curl is installed", _curl),
        ],
    )


def _python() -> CheckResult:
    have = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return failed(f"this is {have}", "install a newer Python, or set PYTHON=/path/to/python3 for `make`")
    return passed(have)


def _system(program: str, package: str, _root: bool) -> Check:
    def run() -> CheckResult:
        path = find_program(program)
        hint = f"Debian and Ubuntu: apt-get install {package}"
        return passed(path) if path else failed(f"no {program} on PATH", hint)

    return check(CATEGORY, f"{program} is installed", run)


def _own() -> CheckResult:
    missing = [(program, package) for program, package in _OWN if not find_program(program)]
    if not missing:
        return passed()
    return failed(
        "missing: " + ", ".join(program for program, _ in missing),
        "pip install " + " ".join(package for _, package in missing),
    )


def _versions(installed: Callable[[], dict[str, str]] | None = None) -> CheckResult:
    found = (installed or _installed)()
    parts = {"tulle-cli", *(package for _, package in _OWN)}
    core = {name: version for name, version in found.items() if name in parts}
    if len(set(core.values())) <= 1:
        return passed(next(iter(core.values()), ""))
    return warned(
        ", ".join(f"{name} {version}" for name, version in sorted(core.items())),
        "install one release of all of them",
    )


def _installed() -> dict[str, str]:
    return {d.name: d.version for d in distributions() if (d.name or "").startswith("tulle-")}


def _curl() -> CheckResult:
    path = find_program("curl")
    return passed(path) if path else warned("`tulle demo` asks with it", "Debian and Ubuntu: apt-get install curl")
