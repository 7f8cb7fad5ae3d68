"""Where a head ends, and what is refused before it has ended.

Owns the limits that hold while a head is still arriving. Refuses to know what the lines say.

Nearly every head comes whole: then `find_head_end` is all it takes. One that does not goes into a `PartialHead`.
"""

from __future__ import annotations

from tulle_data_plane.wire.errors import ProtocolError
from tulle_data_plane.wire.faults import line_fault
from tulle_data_plane.wire.limits import DEFAULT_LIMITS, Limits


def find_head_end(
    buffer: bytes | bytearray,
    start: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    searched: int = 0,
    too_long: str = "uri-too-long",
) -> int:
    """The offset after the empty line that ends the head which begins at `start`; -1 while it is incomplete.

    Raises ProtocolError as soon as no continuation could make the head acceptable: too large, its first line too
    long (reason `too_long`: give "bad-status-line" for answers), or a line that ends in a bare LF.

    `searched`: len(buffer) when this was last called for the same head (see `PartialHead`).
    """
    end = buffer.find(b"\r\n\r\n", start if searched < start + 3 else searched - 3)
    if end >= 0 and end + 4 - start <= limits.head:
        return end + 4
    most = start + limits.head
    nothing_new = buffer.find(b"\n", max(start, searched)) < 0
    if nothing_new and len(buffer) <= most and len(buffer) - start <= limits.request_line:
        return -1
    error = line_fault(buffer, start, min(most, len(buffer)), limits.request_line, too_long, searched)
    if error is None and len(buffer) > most:
        error = ProtocolError("head-too-large", f"the head is larger than {limits.head} bytes")
    if error is not None:
        raise error
    return -1


class PartialHead:
    """A head that did not come whole, and what may follow it.

    Remembers how far it has looked, so that a head which comes byte by byte is not searched from its beginning each
    time: 64 KiB of it would cost 20 s, and a peer can send it so on purpose.
    """

    __slots__ = ("_limits", "_searched", "_too_long", "data")

    def __init__(self, limits: Limits = DEFAULT_LIMITS, too_long: str = "uri-too-long") -> None:
        self.data = bytearray()
        self._limits = limits
        self._searched = 0
        self._too_long = too_long

    def add(self, data: bytes) -> int:
        """More bytes; the offset in `self.data` after the head, or -1. Raises ProtocolError as `find_head_end` does."""
        self.data += data
        end = find_head_end(self.data, 0, self._limits, self._searched, self._too_long)
        self._searched = len(self.data)
        return end
