"""json-file: the objects in one JSON file, read again whenever it has changed.

Owns when it is read and what has changed. What a host relies on is written down in tests/test_contract.py's suite.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tulle_plugin_api import Catalog, CatalogEvent, CatalogFactory, Deleted, Rejected, Synced, Upserted, hookimpl

TULLE_CONTRACT = 1

VARIABLE = "TULLE_JSON_FILE"
SECONDS = 1.0  # between two looks at the file

Key = tuple[str, str, str]


class JsonFile(Catalog):
    """Tells the control plane what exists. Runs under asyncio, since the control plane does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Raises ValueError that names the variable which is missing."""
        if not environment.get(VARIABLE):
            raise ValueError(f"{VARIABLE} is not set; name a JSON file that holds a list of objects")
        self._path = Path(environment[VARIABLE])

    async def events(self) -> AsyncIterator[CatalogEvent]:
        """Everything, then Synced, then each change. What cannot be read is Rejected, and what was there stays."""
        known: dict[Key, Any] = {}
        problem, synced = "", False
        while True:
            try:
                found = {_key(one): one for one in json.loads(self._path.read_text())}
                said = ""
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                found, said = known, f"{type(error).__name__}: {error}"
            if said != problem:
                problem = said
                yield Rejected(str(self._path), problem)
            for key, one in found.items():
                if known.get(key) != one:
                    yield Upserted(one)
            for kind, namespace, name in known.keys() - found.keys():
                yield Deleted(kind, namespace, name)
            known = found
            if not synced and not problem:
                synced = True
                yield Synced()
            await asyncio.sleep(SECONDS)


def _key(one: Mapping[str, Any]) -> Key:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


@hookimpl
def tulle_catalogs() -> Mapping[str, CatalogFactory]:
    """The catalog `json-file`."""
    return {"json-file": JsonFile}
