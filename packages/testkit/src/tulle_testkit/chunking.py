"""The three-way parser test: whole, byte by byte, and with bytes left over.

A stream socket may cut anywhere, so whatever a parser makes of its input may not depend on where. This runs one
message through a parser cut in many ways and compares.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

# every single cut is tried up to this length; beyond it, random ones
_EVERY_CUT_UP_TO = 256


def chunkings(data: bytes, *, seed: int = 0, samples: int = 8) -> Iterator[tuple[str, list[bytes]]]:
    """(what it is called, the pieces) for many ways to cut `data`: whole, single bytes, in two, at random.

    Pieces are never empty: a parser may take an empty one for the end.
    """
    yield "whole", [data] if data else []
    yield "byte by byte", [data[i : i + 1] for i in range(len(data))]
    if len(data) <= _EVERY_CUT_UP_TO:
        for cut in range(1, len(data)):
            yield f"cut at {cut}", [data[:cut], data[cut:]]
    source = random.Random(seed)
    for number in range(samples if len(data) > 2 else 0):
        cuts = sorted(source.sample(range(1, len(data)), source.randint(1, min(10, len(data) - 1))))
        edges = [0, *cuts, len(data)]
        yield f"cut at {cuts} (sample {number})", [data[a:b] for a, b in pairwise(edges)]


def assert_chunking_invariant(
    parse: Callable[[Iterator[bytes]], tuple[T, bytes]],
    data: bytes,
    *,
    following: Iterable[bytes] = (b"", b"\0", b"GET "),
) -> T:
    """Parse one message in every way it can be cut, and followed by each of `following`; returns what came out.

    `parse` takes pieces until its message is complete and returns (result, bytes that it took but did not use).
    Fails when a result differs from that of the whole, and when bytes that follow were swallowed or made up.
    What `parse` raises passes through, with a note saying how the input was cut.
    """
    expected: list[T] = []
    for after in following:
        for name, pieces in chunkings(data + after):
            where = f"{name}{f', followed by {after!r}' if after else ''}"
            iterator = iter(pieces)
            try:
                result, unused = parse(iterator)
            except Exception as error:
                error.add_note(f"input {where}: {pieces!r}")
                raise
            left = unused + b"".join(iterator)
            if not expected:
                expected.append(result)
            assert result == expected[0], f"{where}: {result!r}; whole: {expected[0]!r}"
            assert left == after, f"{where}: {left!r} left over, expected {after!r}"
    return expected[0]
