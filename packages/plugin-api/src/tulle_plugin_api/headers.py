"""Header fields of one message, kept as the bytes that arrived.

Owns look-up and edits. Refuses to know where the bytes came from or go to: a codec has already validated what
arrived, and edits are validated here, so that no plugin can smuggle a line break onto the wire.

Most fields of most messages are only passed on. So the block stays one `bytes` object ("Name: value\\r\\n" lines,
without the final empty line), a look-up is a search in it, and forwarding costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# RFC 9110 section 5.6.2 (token) and 5.5 (field-value; obs-text allowed, control characters not).
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

_needles: dict[str, bytes] = {}


def _needle(name: str) -> bytes:
    """The bytes that a line of this field starts with, after the previous line's end: b"\\nname:"."""
    found = _needles.get(name)
    if found is None:
        raw = name.encode("latin-1", "replace").lower()
        if not _NAME.fullmatch(raw):
            raise ValueError(f"{name!r} is not a field name: letters, digits and !#$%&'*+-.^_`|~ only")
        found = b"\n" + raw + b":"
        if len(_needles) < 1024:  # names come from code and configuration, but never trust that
            _needles[name] = found
    return found


def _line(name: str, value: str) -> bytes:
    raw = name.encode("latin-1", "replace")  # "?" is not allowed in a name
    if not _NAME.fullmatch(raw):
        raise ValueError(f"{name!r} is not a field name: letters, digits and !#$%&'*+-.^_`|~ only")
    try:
        raw_value = value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"value of {name}: only latin-1 can be sent; encode it first, got {value!r}") from None
    if not _VALUE.fullmatch(raw_value):
        raise ValueError(f"value of {name}: control characters and line breaks are not allowed, got {value!r}")
    return raw + b": " + raw_value + b"\r\n"


class Headers:
    """An ordered multimap of fields; names compare without case (RFC 9110 section 5.1), values are latin-1."""

    __slots__ = ("_low", "block")

    block: bytes
    """The lines as HTTP/1.1 sends them, without the empty line that ends a head. To be read, never set."""

    def __init__(self, block: bytes = b"") -> None:
        """`block`: validated lines "name: value\\r\\n", no empty line at the end."""
        self.block = block
        self._low: bytes | None = None

    @classmethod
    def of(cls, fields: Iterable[tuple[str, str]]) -> Headers:
        """From pairs; raises ValueError for a name or value that may not go on the wire."""
        return cls(b"".join([_line(name, value) for name, value in fields]))

    def _searchable(self) -> bytes:
        # one byte longer than the block: a leading line break, so that every line starts after one
        low = self._low
        if low is None:
            low = self._low = b"\n" + self.block.lower()
        return low

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of the field, or `default`."""
        needle = _needles.get(name) or _needle(name)
        at = self._searchable().find(needle)
        if at < 0:
            return default
        start = at + len(needle) - 1
        return self.block[start : self.block.find(b"\r", start)].strip(b" \t").decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Every value of the field, in order."""
        needle, low, values = _needle(name), self._searchable(), []
        at = low.find(needle)
        while at >= 0:
            start = at + len(needle) - 1
            values.append(self.block[start : self.block.find(b"\r", start)].strip(b" \t").decode("latin-1"))
            at = low.find(needle, start)
        return values

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _needle(name) in self._searchable()

    def add(self, name: str, value: str) -> None:
        """Append a field; those of the same name stay."""
        self._replace(self.block + _line(name, value))

    def set(self, name: str, value: str) -> None:
        """Make this the only field of its name, at the end."""
        line = _line(name, value)
        self.remove(name)
        self._replace(self.block + line)

    def remove(self, name: str) -> bool:
        """Remove every field of this name; say whether there was one."""
        needle, removed = _needle(name), False
        while (at := self._searchable().find(needle)) >= 0:
            end = self.block.find(b"\n", at) + 1
            self._replace(self.block[:at] + self.block[end:])
            removed = True
        return removed

    def _replace(self, block: bytes) -> None:
        self.block, self._low = block, None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for line in self.block.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            yield name.decode("latin-1"), value.strip(b" \t").decode("latin-1")

    def __len__(self) -> int:
        return self.block.count(b"\n")

    def copy(self) -> Headers:
        """An independent copy (the block is shared until one of the two changes)."""
        return Headers(self.block)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(name.lower(), value) for name, value in self] == [(name.lower(), value) for name, value in other]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"
