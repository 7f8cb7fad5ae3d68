"""What is in force, of all files together; and the events that a change of files amounts to. Pure.

Owns three rules. A file that cannot be read as a whole is refused by name, and what it held before stays in force. An
object belongs to one file: a second file that has it too is refused, naming the first. And events are told once for
all changes together, so that an object which moved from one file to another never seems to be gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tulle_plugin_api.protocols import CatalogEvent, Deleted, Rejected, Upserted

from tulle_catalog_manifests.documents import Key, Object, Unreadable, parse
from tulle_catalog_manifests.folder import Scan


@dataclass
class _File:
    held: dict[Key, Object] = field(default_factory=dict)  # in force
    wanted: dict[Key, Object] | None = None  # read, and refused because another file holds some of it
    problem: str = ""


class Holdings:
    """The state of all files."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._owners: dict[Key, str] = {}
        self._told: dict[Key, Object] = {}
        self._problems: dict[str, str] = {}

    def take(self, scan: Scan) -> list[CatalogEvent]:
        """What a look at the folder changes: rejections first, then deletions, then what exists now."""
        for name in scan.removed:
            self._files.pop(name, None)
        for name, problem in scan.unreadable.items():
            self._file(name).problem = problem
        for name, content in scan.changed.items():
            file = self._file(name)
            try:
                file.wanted, file.problem = parse(name, content), ""
            except Unreadable as error:
                file.wanted, file.problem = None, str(error)
        self._settle()
        return self._events()

    def _file(self, name: str) -> _File:
        return self._files.setdefault(name, _File())

    def _settle(self) -> None:
        """Decide for all files that want to change together, so that two may swap objects.

        First all get what they want; of two that want one object, the one that does not hold it already (else the
        last by name) goes back to what it held, until no two collide. Then those that went back try once more, since
        what was in their way may have gone back itself.
        """
        waiting = sorted(name for name, file in self._files.items() if file.wanted is not None)
        claims = {name: file.held if file.wanted is None else file.wanted for name, file in self._files.items()}
        losers: list[str] = []
        while found := self._collision(claims):
            name, problem = found
            self._files[name].problem = problem
            claims[name] = self._files[name].held
            losers.append(name)
        for name in sorted(losers):
            if self._collision({**claims, name: self._files[name].wanted or {}}) is None:
                claims[name] = self._files[name].wanted or {}
                losers.remove(name)
        for name in waiting:
            if name not in losers:
                file = self._files[name]
                file.held, file.wanted, file.problem = claims[name], None, ""
        self._owners = {key: name for name, file in self._files.items() for key in file.held}

    def _collision(self, claims: Mapping[str, Mapping[Key, Object]]) -> tuple[str, str] | None:
        """A file that must step back, and why; None where every object is claimed once."""
        claimed: dict[Key, str] = {}
        for name in sorted(claims):
            for key in claims[name]:
                rival = claimed.setdefault(key, name)
                if rival != name:
                    stays, goes = (name, rival) if self._owners.get(key) == name else (rival, name)
                    return goes, f"{key} is in {stays} too; an object belongs in one file, keep one"
        return None

    def _events(self) -> list[CatalogEvent]:
        problems = {name: file.problem for name, file in self._files.items() if file.problem}
        events: list[CatalogEvent] = [
            Rejected(name, problems.get(name, ""))
            for name in sorted(problems.keys() | self._problems.keys())
            if problems.get(name, "") != self._problems.get(name, "")
        ]
        now: Mapping[Key, Object] = {key: obj for file in self._files.values() for key, obj in file.held.items()}
        events += [Deleted(key.kind, key.namespace, key.name) for key in sorted(self._told.keys() - now.keys())]
        events += [Upserted(now[key]) for key in sorted(now) if self._told.get(key) != now[key]]
        self._told, self._problems = dict(now), problems
        return events
