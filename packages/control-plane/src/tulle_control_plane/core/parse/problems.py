"""Gathering problems: an object is refused once, with everything that is wrong with it.

Owns the list. A part that cannot be read gives its problems and a stand-in, and reading goes on; at the end all are
raised together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tulle_plugin_api.config import ConfigError

T = TypeVar("T")
D = TypeVar("D")


class Problems:
    """What is wrong so far, a sentence each."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """One more."""
        if problem not in self.found:
            self.found.append(problem)

    def take(self, instead: D, read: Callable[..., T], *args: object, **more: object) -> T | D:
        """What `read(*args)` gives; where it raises ConfigError, its problems are noted and it is `instead`."""
        try:
            return read(*args, **more)
        except ConfigError as error:
            for problem in error.problems:
                self.add(problem)
            return instead

    def most(self, items: Sequence[object] | None, most: int, path: str) -> None:
        """Note it where there are more than `most` items."""
        if items is not None and len(items) > most:
            self.add(f"{path}: at most {most} items, got {len(items)}")

    def check(self) -> None:
        """Raise ConfigError with everything that was found, if there is anything."""
        if self.found:
            raise ConfigError(self.found)
