"""How much of a message is read before it is complete.

Owns the numbers, which settings may replace. All are bytes except `fields`; a message at the limit passes, one byte (or
field) more is refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one message. Bodies have none: they stream."""

    request_line: int = 16 * 1024  # without its CRLF; also bounds a status line
    head: int = 64 * 1024  # first line, fields and the empty line, with every CRLF
    fields: int = 100
    chunk_extensions: int = 4 * 1024  # of all chunks of one message together
    trailers: int = 8 * 1024  # the trailer section with its final CRLF


DEFAULT_LIMITS = Limits()
