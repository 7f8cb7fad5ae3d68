"""Entry points of installed distributions, without `importlib.metadata`.

Owns reading `*.dist-info/entry_points.txt` along sys.path (the PyPA "Entry points specification"). The standard
library's reader costs a proxy 1.2 MB and 15 ms, mostly for e-mail parsing that finds a version; name and version are
in the folder's name as well ("Recording installed projects": `{name}-{version}.dist-info`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple


class EntryPoint(NamedTuple):
    """One line of a group: `name = module:attribute`."""

    name: str
    value: str
    distribution: str  # "tulle-balancer-random"
    version: str

    def load(self) -> Any:
        """Import it. Raises whatever the import raises, AttributeError if the module lacks the attribute."""
        module, _, attributes = self.value.split("[")[0].partition(":")  # "[extras]" are not in use any more
        found: Any = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        return found


_STATED = re.compile(r"^TULLE_CONTRACT\b[^=\n]*=\s*([0-9]+)\s*(?:#.*)?$", re.MULTILINE)


def stated_contract(value: str) -> int | None:
    """The number in `TULLE_CONTRACT = 2`, read from the source of the module that an entry point's value names.

    For modules that cannot be imported. None if there is no such line, or no source.
    """
    from importlib.util import find_spec  # only those with a broken plugin pay for it

    try:
        spec = find_spec(value.partition(":")[0].strip())
        source = spec.loader.get_source(spec.name) if spec and spec.loader else None  # type: ignore[attr-defined]
    except Exception:  # as broken as can be: the error of the import itself is what helps
        return None
    stated = _STATED.search(source or "")
    return int(stated[1]) if stated else None


def entry_points(group: str, path: Sequence[str] | None = None) -> list[EntryPoint]:
    """The group's entry points, by name. Of a distribution that is installed twice, the first on `path` counts."""
    found: list[EntryPoint] = []
    seen: set[str] = set()
    for folder in dict.fromkeys(sys.path if path is None else path):
        for info in _dist_infos(folder or "."):
            name, _, version = os.path.basename(info).removesuffix(".dist-info").partition("-")
            name = name.replace("_", "-").lower()
            if name not in seen:
                seen.add(name)
                found += [EntryPoint(key, value, name, version) for key, value in _group(info, group)]
    return sorted(found)


def _dist_infos(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.name.endswith(".dist-info"))
    except OSError:  # not a folder: a zip file, or gone
        return []


def _group(info: str, group: str) -> Iterator[tuple[str, str]]:
    try:
        with open(os.path.join(info, "entry_points.txt"), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:  # most distributions have none
        return
    inside = False
    for line in map(str.strip, lines):
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
