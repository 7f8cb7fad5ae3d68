"""Extra plugins: folders with installed distributions, which Tulle's programs in the lab find beside their own.

Owns what such a folder must look like, and the variables by which it is handed down: the lab's process and, of the
containers, only Tulle's own programs get PYTHONPATH. Refuses to install anything: that is pip's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tulle_lab.errors import LabError

VARIABLE = "TULLE_PLUGINS"
FIX = "uv pip install --target FOLDER YOUR-PLUGIN (or pip install --target), and name FOLDER"


def folders(text: str) -> tuple[str, ...]:
    """Absolute paths from a comma list, each once. Raises LabError for what holds no plugin."""
    found = dict.fromkeys(os.path.realpath(part.strip()) for part in text.split(",") if part.strip())
    for folder in found:
        _check(Path(folder))
    return tuple(found)


def _check(folder: Path) -> None:
    if ":" in str(folder):
        raise LabError(f"plugins cannot be in {folder}", "a colon separates the folders of PYTHONPATH", "rename it")
    if not folder.is_dir():
        raise LabError(f"there is no folder {folder} with plugins", fix=FIX)
    if any("[tulle]" in path.read_text(errors="replace") for path in folder.glob("*.dist-info/entry_points.txt")):
        return
    why = "it has a pyproject.toml: that is a plugin's source" if (folder / "pyproject.toml").exists() else ""
    raise LabError(f"no plugin is installed in {folder}", why, FIX)


def variables(folders: tuple[str, ...]) -> dict[str, str]:
    """For the environment of the lab's process, which shows sys.path to its containers."""
    return {VARIABLE: ",".join(folders), "PYTHONPATH": ":".join(folders)} if folders else {}


def handed_down(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What `variables` has put there."""
    return tuple(filter(None, environment.get(VARIABLE, "").split(",")))


def of_running(pid: int | None) -> tuple[str, ...] | None:
    """Those that a running lab was started with, by its PID 1; None where that cannot be seen."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return handed_down(dict(pair.decode(errors="replace").partition("=")[::2] for pair in pairs))
