"""Debian packages that figures need, installed by apt-get where we are root.

Their daemons are not started: programs run in pods only. A policy-rc.d that says so stands while apt-get runs, unless
the machine has one already (invoke-rc.d(8)).
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.acceptance.figure import Impossible

_POLICY = Path("/usr/sbin/policy-rc.d")
_SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_SECONDS = 300


def need(programs: Mapping[str, str]) -> None:
    """Program (a name, or a path with wildcards) -> the package that has it. Raises Impossible where it cannot be."""
    missing = sorted({package for program, package in programs.items() if not _found(program)})
    if not missing:
        return
    if os.getuid():
        raise Impossible(f"not installed: {', '.join(missing)}; sudo apt-get install {' '.join(missing)}")
    if shutil.which("apt-get") is None:
        raise Impossible(f"not installed: {', '.join(missing)}, and there is no apt-get here to install them with")
    _install(missing)
    if lacking := sorted(program for program in programs if not _found(program)):
        raise Impossible(f"{' '.join(missing)} was installed, but there still is no {', '.join(lacking)}")


def _found(program: str) -> bool:
    if "*" in program or "/" in program:
        return bool(glob.glob(program))
    return shutil.which(program, path=_SBIN) is not None


def _install(packages: Iterable[str]) -> None:
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\n# tulle's acceptance: no daemons on the machine itself\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        install = ("apt-get", "install", "-qy", "--no-install-recommends", *packages)
        done = _run(install)
        if done.returncode:  # the lists may be old
            _run(("apt-get", "update", "-q"))
            done = _run(install)
    finally:
        if ours:
            _POLICY.unlink()
    if done.returncode:
        raise Impossible(f"apt-get install {' '.join(packages)} failed: {done.stderr.strip()[-300:]}")


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it did not end within {_SECONDS} s")
