"""Why a head was refused, in words and always in the same order: the slow path.

The fast path only finds out that something is wrong. What it was is worked out here, so that the fast path stays
fast and the message still says what to look at.
"""

from __future__ import annotations

import re

from tulle_data_plane.wire.errors import ProtocolError, quote
from tulle_data_plane.wire.grammar import BARE_LINE_FEED, FIELD_LINE

_ONE_LINE = re.compile(FIELD_LINE)


def line_fault(
    buffer: bytes | bytearray, start: int, end: int, limit: int, too_long: str, searched: int = 0
) -> ProtocolError | None:
    """What is wrong with the lines of the head in buffer[start:end], complete or not, whatever they say; or None.

    Judged before everything else, so that a head which came in pieces is refused for the same reason as a whole one.
    `limit`: of the first line, in bytes without CRLF; `too_long`: the reason if it is longer; `searched`: bytes before
    this offset have been judged already.
    """
    line = start + 2 if buffer.startswith(b"\r\n", start) else start
    line_feed = buffer.find(b"\n", line, end)
    if (line_feed if line_feed >= 0 else end) > line + limit + 1:
        return ProtocolError(too_long, f"the first line is longer than {limit} bytes")
    if buffer.startswith(b"\n", start):
        return ProtocolError("bare-line-feed", "at the first byte of the head")
    bare = BARE_LINE_FEED.search(buffer, max(start, searched), end)
    if bare is not None:
        return ProtocolError("bare-line-feed", f"at byte {bare.start() - start} of the head")
    return None


def field_fault(block: bytes) -> str:
    """What is wrong with a block that is not a sequence of field lines."""
    for number, line in enumerate(block.split(b"\n"), 1):
        line += b"\n"
        if _ONE_LINE.fullmatch(line):
            continue
        return f"field {number}, {quote(line)}: {_line_fault(line)}"
    return f"field lines do not end in an empty line: {quote(block[-8:])}"


def _line_fault(line: bytes) -> str:
    name, colon, _ = line.partition(b":")
    if not line.endswith(b"\r\n"):
        return "does not end in CRLF"
    if line[:1] in (b" ", b"\t"):  # RFC 9112 section 5.2
        return "line folding is obsolete and refused"
    if not colon:
        return "has no colon"
    if not name:
        return "has no name"
    if name.rstrip(b" \t") != name:  # RFC 9112 section 5.1
        return "has a space before the colon"
    return "has a character that a name or a value may not have"
