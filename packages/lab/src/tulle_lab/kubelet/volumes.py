"""Volumes: which files a pod's configMap, downwardAPI and projected volumes hold, and keeping them so on disk.

`contents` is pure; `write` makes a directory hold exactly that, file by file, each replaced whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError
from tulle_lab.kubelet.downward import field_value
from tulle_lab.kubelet.environment import ConfigMaps, MissingConfig

DEFAULT_MODE = 0o644
DEFAULT_TOKEN_LIFETIME = 3607.0
"""Seconds: what Kubernetes gives the token that it mounts by itself."""

IssueToken = Callable[[str, float], str]
"""(audience, lifetime in seconds) -> token for this pod."""


@dataclass(frozen=True)
class File:
    """A file in a volume."""

    data: bytes
    mode: int = DEFAULT_MODE


def needs_files(volume: Object) -> bool:
    """Whether the volume's files come from objects (so that they must be kept up to date)."""
    return any(name in volume for name in ("configMap", "downwardAPI", "projected"))


def contents(volume: Object, pod: Object, config_maps: ConfigMaps, issue: IssueToken) -> dict[str, File]:
    """The volume's files by relative path. Raises MissingConfig."""
    if projected := volume.get("projected"):
        mode = projected.get("defaultMode", DEFAULT_MODE)
        files: dict[str, File] = {}
        for source in projected.get("sources") or []:
            files |= _source(source, mode, pod, config_maps, issue)
        return files
    source = next(value for name, value in volume.items() if name != "name")
    return _source(volume, source.get("defaultMode", DEFAULT_MODE), pod, config_maps, issue)


def token_lifetimes(volume: Object) -> list[float]:
    """Lifetimes in seconds of the tokens in the volume; kubelet renews each after four fifths."""
    return [
        source["serviceAccountToken"].get("expirationSeconds", DEFAULT_TOKEN_LIFETIME)
        for source in (volume.get("projected") or {}).get("sources") or []
        if "serviceAccountToken" in source
    ]


def _source(source: Object, mode: int, pod: Object, config_maps: ConfigMaps, issue: IssueToken) -> dict[str, File]:
    if wanted := source.get("configMap"):
        return _config_map(wanted, mode, config_maps)
    if (downward := source.get("downwardAPI")) is not None:
        return {
            item["path"]: File(field_value(item["fieldRef"]["fieldPath"], pod).encode(), item.get("mode", mode))
            for item in downward.get("items") or []
        }
    token = source["serviceAccountToken"]
    text = issue(token.get("audience", ""), token.get("expirationSeconds", DEFAULT_TOKEN_LIFETIME))
    return {token["path"]: File(text.encode(), mode)}


def _config_map(wanted: Object, mode: int, config_maps: ConfigMaps) -> dict[str, File]:
    found = config_maps(wanted["name"])
    if found is None:
        if wanted.get("optional"):
            return {}
        raise MissingConfig(
            f"a volume needs ConfigMap {wanted['name']}, which does not exist", fix="apply that ConfigMap"
        )
    data: dict[str, str] = found.get("data") or {}
    items: list[dict[str, Any]] = wanted.get("items") or [{"key": key, "path": key} for key in data]
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]].encode(), item.get("mode", mode))
        elif not wanted.get("optional"):
            raise MissingConfig(
                f"a volume needs key {item['key']!r} of ConfigMap {wanted['name']}, which does not exist"
            )
    return files


def write(directory: Path, files: dict[str, File], group: int | None = None) -> None:
    """Make `directory` hold exactly `files`. A reader sees each file old or new, never half."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        path = directory / name
        if directory.resolve() not in path.resolve().parents:
            raise LabError(f"a volume's file {name!r} would be outside of the volume")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_bytes() == file.data:
            continue
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_bytes(file.data)
        partial.chmod(file.mode)
        if group is not None:
            os.chown(partial, 0, group)
        partial.rename(path)
    for path in sorted(directory.rglob("*"), reverse=True):
        if not path.is_dir() and str(path.relative_to(directory)) not in files:
            path.unlink()
