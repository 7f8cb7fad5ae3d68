"""Header sections that are alike but for some values: ids, dates, lengths.

Owns what one such shape is, and how it is learned from examples. Refuses to know what fields mean: `facts` does.

A client sends the same lines again and again, and in between one with an id that never comes back. A `Shape` has the
lines that stay, and where in the section the values are that do not. A section of the same length whose fixed bytes are
those of the shape, and whose other values are printable, means what the shape's examples meant: no line was added or
left out (a printable value has no line break), every name is the same, and of the values that decide anything all are
the same, but for Content-Length, which is judged anew. So nothing needs to be searched for. All of it is slicing and
comparing in C, about a quarter of the work of `read_section`, which has judged every example and judges all else.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from tulle_data_plane.wire.facts import HOP_BY_HOP, RULES, SECRETS, Facts, content_length

Slices = Callable[[bytes], tuple[bytes, ...]]


class Shape:
    """One shape. What it keeps of an example are the values that stay, and never one that lets its owner in.

    A section that is as long as the example was has this shape if `fixed(section) == same` and its `values` are
    printable (memory.Memory); then `facts` or `facts_of` and `kept` say what `read_section` would.
    """

    __slots__ = ("_length", "count", "facts", "fixed", "kept", "lines", "same", "steady", "values", "varying")

    def __init__(self, lines: list[bytes], varying: frozenset[int], facts: Facts) -> None:
        """`lines`: of an accepted section, without line ends; `varying`: which have a value that may be another;
        `facts`: what the section means. No field may be one that its Connection field names."""
        self.varying = varying | {at for at, line in enumerate(lines) if _name(line) in SECRETS}
        self.facts = facts.without_framing()  # without the example's block, which has what is not to be kept
        self.facts.framing = facts.framing
        self.count = len(lines)
        self._length: slice | None = None
        fixed: list[slice] = []
        values: list[slice] = []
        kept: list[slice] = []
        fixed_to = kept_to = at = 0
        for number, line in enumerate(lines):
            name, end = _name(line), at + len(line)
            if number in self.varying:
                value = slice(at + len(name) + 1, end)
                fixed.append(slice(fixed_to, value.start))
                fixed_to = end
                values.append(value)
                if name == b"content-length":
                    self._length = value
            if name in HOP_BY_HOP:
                kept.append(slice(kept_to, at))
                kept_to = end + 2
            at = end + 2
        fixed.append(slice(fixed_to, at + 2))
        self.fixed = _slices(fixed)
        self.values = _slices(values)
        self.kept = _slices([*kept, slice(kept_to, at)]) if kept else None  # of the end-to-end fields; None: all are
        self.same = self.fixed(b"\r\n".join([*lines, b"", b""]))
        self.steady = self._length is None  # `facts` holds for all sections of this shape
        self.lines = [_blank(line) if number in self.varying else line for number, line in enumerate(lines)]

    def facts_of(self, section: bytes) -> Facts:
        """What a section of this shape means, which is not `steady`. Raises ProtocolError for a bad length."""
        assert self._length is not None
        facts = self.facts.without_framing()
        content_length(facts, section[self._length].lower().strip(b" \t"))
        return facts

    def widened(self, lines: list[bytes], facts: Facts) -> Shape | None:
        """The shape that has both this one's examples and another; None if they differ in more than plain values."""
        if len(lines) != self.count:
            return None
        varying = set(self.varying)
        for number, (ours, line) in enumerate(zip(self.lines, lines, strict=True)):
            if ours == line:
                continue
            name = _name(line)
            if len(ours) != len(line) or not ours.lower().startswith(name + b":"):
                return None
            if ours[: len(name)] != line[: len(name)] or (name in RULES and name not in _MAY_VARY):
                return None
            varying.add(number)
        return Shape(lines, frozenset(varying), facts)


_MAY_VARY = SECRETS | {b"content-length"}


def _slices(parts: list[slice]) -> Slices:
    return itemgetter(*parts, *[slice(0, 0)] * (2 - len(parts)))  # it makes tuples of two and more


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


def _blank(line: bytes) -> bytes:
    """The line with nothing of its value but its length."""
    name, colon, value = line.partition(b":")
    return name + colon + b" " * len(value)


class Shapes:
    """Shapes by the length of their sections. Bounded: `most` shapes, of sections that memory.py bounds (LARGEST)."""

    __slots__ = ("_by_length", "_most", "_total", "_unlearned", "get")

    def __init__(self, most: int = 128) -> None:
        self._by_length: dict[int, tuple[Shape, ...]] = {}
        self._most = most
        self._total = 0
        self._unlearned = 0
        self.get = self._by_length.get
        """The shapes of a length, or None."""

    def learn(self, section: bytes, facts: Facts) -> None:
        """From a section that `read_section` has accepted and that no shape had.

        One in LEARN_EVERY is looked at: learning costs about as much as reading, and who never sends a shape twice
        shall not make us pay for it twice.
        """
        self._unlearned += 1
        if self._unlearned < LEARN_EVERY or facts.options:  # options: Connection may name fields of any name
            return
        self._unlearned = 0
        lines = section.split(b"\r\n")[:-2]
        size = len(section)
        shapes = self._by_length.get(size, ())
        for shape in shapes:
            wider = shape.widened(lines, facts)
            if wider is not None:
                self._by_length[size] = (wider, *[other for other in shapes if other is not shape])
                return
        if self._total >= self._most:  # full: begin again; what repeats is back soon
            self._by_length.clear()
            self._total, shapes = 0, ()
        self._by_length[size] = (Shape(lines, frozenset(), facts), *shapes[: PER_LENGTH - 1])
        self._total += len(shapes) < PER_LENGTH

    def clear(self) -> None:
        """Forget everything."""
        self._by_length.clear()
        self._total = 0

    def __len__(self) -> int:
        return self._total


LEARN_EVERY = 4
PER_LENGTH = 4
