"""Remembers what header sections meant, because they repeat.

A client on a keep-alive connection sends the same fields with each request, byte for byte, and a service answers with
the same fields. To find a section that was seen before costs one hash of its bytes, about a tenth of reading it anew.

What makes that safe:
- The key is the whole section, compared byte for byte, and its facts depend on nothing else: a hit can not be wrong.
- Only accepted sections are kept. What was refused is judged anew each time.
- Memory is bounded: `most` sections of at most 2 KiB, so about 2 MiB when full. A section is kept only when it comes a
  second time: sections with an id or a time in them, which never come back, leave nothing but the hash of their bytes.
- Nothing that lets anyone in stays in memory after its request: sections with Authorization, Cookie and the like are
  not kept (`Facts.secret`).
- Python's hash of bytes has a secret key, so nobody can choose sections that collide.
"""

from __future__ import annotations

import re

from tulle_data_plane.wire.facts import Facts, read_section
from tulle_data_plane.wire.limits import Limits

LARGEST = 2048


class Memory:
    """Facts by header section. One for requests, one for answers; used by one thread."""

    __slots__ = ("_finder", "_kept", "_most", "_seen_once")

    def __init__(self, finder: re.Pattern[bytes], most: int = 512) -> None:
        self._finder = finder
        self._most = most
        self._kept: dict[bytes, Facts] = {}
        self._seen_once: set[int] = set()

    def facts(self, section: bytes, limits: Limits) -> Facts:
        """What the section means; raises ProtocolError as `read_section` does."""
        found = self._kept.get(section)
        if found is not None and found.count <= limits.fields:
            return found
        return self._read(section, limits)

    def _read(self, section: bytes, limits: Limits) -> Facts:
        facts = read_section(section, self._finder, limits)
        if len(section) <= LARGEST and not facts.secret:
            key = hash(section)
            if key in self._seen_once:
                if len(self._kept) >= self._most:  # full: begin again; what repeats is back after two messages
                    self._kept.clear()
                self._kept[section] = facts
            else:
                if len(self._seen_once) >= 8 * self._most:
                    self._seen_once.clear()
                self._seen_once.add(key)
        return facts

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._seen_once.clear()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def pending(self) -> int:
        """How many sections were seen once (their hashes are remembered, not their bytes)."""
        return len(self._seen_once)
