"""Remembers what heads and header sections meant, because they repeat.

A client on a keep-alive connection sends the same head with many requests, byte for byte, or at least the same fields,
and a service answers with the same. To find bytes that were seen before costs one hash of them, a small part of
reading them anew. Three sizes are remembered: whole heads (request.RequestParser, response.ResponseParser), and, where
a path or a status differs, the section of fields after the first line (Memory); and where an id or a date in it
differs, what stays of it (shapes).

What makes that safe:
- The key is all the bytes, compared one by one, and what they mean depends on nothing else: a hit can not be wrong.
- Only what was accepted is kept. What was refused is judged anew each time.
- Memory is bounded: `most` keys of at most 2 KiB, so about 1 MiB when full. A key is kept only when it comes a second
  time: heads with an id or a time in them, which never come back, leave nothing but the hash of their bytes. Of them
  every fourth may become a shape, or widen one: 128 at most, so another 1 MiB when all are of the largest.
- Nothing that lets anyone in stays in memory after its request: heads with Authorization, Cookie and the like are not
  kept (`Facts.secret`), nor are such values in a shape. A shape does keep an example's other values, so that an id in a
  field that is not known to be a secret (`facts.SECRETS`) can be among them until the shape is widened or forgotten.
- Python's hash of bytes has a secret key, so nobody can choose heads that collide.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

from tulle_data_plane.wire.facts import Facts, read_section
from tulle_data_plane.wire.limits import Limits
from tulle_data_plane.wire.shapes import Shapes

LARGEST = 2048
"""Bytes of a key."""

_join = b"".join

V = TypeVar("V")


class Repeats(Generic[V]):
    """Values by the bytes they came from. Used by one thread."""

    __slots__ = ("_most", "_seen_once", "known")

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self._seen_once: set[int] = set()
        self.known: dict[bytes, V] = {}
        """To be read; `note` changes it."""

    def note(self, key: bytes, value: V) -> None:
        """Keep `value` if this is the second time that `key` is noted."""
        if len(key) > LARGEST:
            return
        hashed = hash(key)
        if hashed in self._seen_once:
            if len(self.known) >= self._most:  # full: begin again; what repeats is back after two messages
                self.known.clear()
            self.known[key] = value
        else:
            if len(self._seen_once) >= 2 * self._most:
                self._seen_once.clear()
            self._seen_once.add(hashed)

    def clear(self) -> None:
        """Forget everything."""
        self.known.clear()
        self._seen_once.clear()

    def __len__(self) -> int:
        return len(self.known)

    @property
    def pending(self) -> int:
        """How many keys were seen once (their hashes are remembered, not their bytes)."""
        return len(self._seen_once)


class Memory(Repeats[Facts]):
    """Facts by header section. One for requests, one for answers."""

    __slots__ = ("_finder", "_shapes_of", "shapes")

    def __init__(self, finder: re.Pattern[bytes], most: int = 512) -> None:
        super().__init__(most)
        self._finder = finder
        self.shapes = Shapes()
        self._shapes_of = self.shapes.get

    def facts(self, section: bytes, limits: Limits) -> tuple[Facts, bytes]:
        """What the section means, and its end-to-end fields; raises ProtocolError as `read_section` does."""
        found = self.known.get(section)
        if found is not None and found.count <= limits.fields:
            return found, found.block
        shapes = self._shapes_of(len(section))
        if shapes is not None:
            for shape in shapes:
                # In latin-1 all that is printable may be in a value (grammar.VALUE), and no line break or other control
                # character is; a tab and the like, which may be in one, are read the long way.
                if (
                    shape.fixed(section) == shape.same
                    and _join(shape.values(section)).decode("latin-1").isprintable()
                    and shape.count <= limits.fields
                ):
                    block = section[:-2] if shape.kept is None else _join(shape.kept(section))
                    return shape.facts if shape.steady else shape.facts_of(section), block
        facts = read_section(section, self._finder, limits)
        if not facts.secret:
            self.note(section, facts)
        if len(section) <= LARGEST:
            self.shapes.learn(section, facts)
        return facts, facts.block

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self.shapes.clear()
