"""Which manifests a folder holds, and which of them changed since the last look.

Owns the walk and each file's signature (device, inode, size, modification and change time). Hidden files and folders
and links to folders are not looked at: editors and Kubernetes' ConfigMap mounts (`..data`) keep their own things there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tulle_catalog_manifests.documents import MOST_BYTES, SUFFIXES

Signature: TypeAlias = tuple[int, int, int, int, int]
MOST_DEPTH = 32


class Missing(Exception):
    """The folder is not there, or cannot be looked into."""


@dataclass
class Scan:
    """What one look found. Names are relative to the folder, with "/"."""

    changed: dict[str, bytes] = field(default_factory=dict)  # new or different, with their content
    unreadable: dict[str, str] = field(default_factory=dict)  # new or different, and why they could not be read
    removed: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.changed or self.unreadable or self.removed)


class Folder:
    """A folder, and what was seen in it last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[str, Signature] = {}
        self._identity: tuple[int, int] | None = None
        self.replaced = False
        """Whether the last look found another folder under the name than the one before."""

    def problem(self) -> str:
        """Why it cannot be looked at yet; empty where it can.

        One without a manifest does not count, the first time either: after a restart it would tell every proxy that
        nothing exists, and whoever fills it may only be late.
        """
        found: dict[str, Signature] = {}
        try:
            self._walk(self.path, "", found, 0)
        except Missing as problem:
            return str(problem)
        if not found:
            return f"{self.path} has no manifest in it; it counts once there is one"
        return ""

    def scan(self, suspects: Iterable[str] = ()) -> Scan:
        """Look again. Raises Missing. `suspects` are read even if they look the same: a clock tick can hide changes."""
        found: dict[str, Signature] = {}
        identity = self._walk(self.path, "", found, 0)
        self.replaced = self._identity not in (None, identity)
        if self.replaced and not found:  # not the same as a folder whose files were removed
            raise Missing(f"{self.path}: another folder, without a manifest, is in its place")
        self._identity = identity
        scan = Scan(removed=self._seen.keys() - found.keys())
        suspected = set(suspects)
        for name, signature in sorted(found.items()):
            if self._seen.get(name) != signature or name in suspected:
                try:
                    scan.changed[name] = _read(self.path / name)
                except FileNotFoundError:
                    scan.removed |= {name} & self._seen.keys()
                    del found[name]
                except OSError as error:
                    scan.unreadable[name] = f"cannot be read: {error.strerror or error}"
        self._seen = found
        return scan

    def _walk(self, path: Path, prefix: str, found: dict[str, Signature], depth: int) -> tuple[int, int]:
        try:
            status = os.stat(path)
            entries = list(os.scandir(path))
        except OSError as error:
            if depth == 0:
                raise Missing(f"{path}: {error.strerror or error}") from None
            return 0, 0  # removed while we walked, or not ours to read
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir(follow_symlinks=False) and depth < MOST_DEPTH:  # links to folders may loop
                    self._walk(path / entry.name, f"{prefix}{entry.name}/", found, depth + 1)
                elif entry.name.endswith(SUFFIXES) and entry.is_file():
                    found[prefix + entry.name] = _signature(os.stat(entry.path))
            except OSError:
                continue  # removed while we looked
        return status.st_dev, status.st_ino

    def name_of(self, path: str) -> str:
        """The relative name of a path inside the folder."""
        return os.path.relpath(path, self.path).replace(os.sep, "/")


def _signature(status: os.stat_result) -> Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)
