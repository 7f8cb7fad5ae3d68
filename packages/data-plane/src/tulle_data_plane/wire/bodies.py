"""Bodies as they arrive: one decoder per kind of framing, all with the same five members.

    feed(data)   the pieces of the body in it, in order (no empty ones); raises ProtocolError
    finish()     the connection has ended: raises ProtocolError("truncated-body") unless the body may end so
    done         the body is complete
    leftover     bytes that came after it: the next message, or on an answer, poison
    trailers     Headers once done, if there were trailers; else None

Owns LENGTH and UNTIL_CLOSE; `chunked` owns CHUNKED. Refuses to keep a body: a piece is handed out as it came,
uncopied where it is a whole read.
"""

from __future__ import annotations

from typing import Protocol

from tulle_plugin_api import Headers

from tulle_data_plane.wire.chunked import ChunkedDecoder
from tulle_data_plane.wire.errors import ProtocolError
from tulle_data_plane.wire.limits import DEFAULT_LIMITS, Limits
from tulle_data_plane.wire.messages import CHUNKED, UNTIL_CLOSE, Framing


class BodyDecoder(Protocol):
    """What every decoder offers; see the module."""

    done: bool
    leftover: bytes
    trailers: Headers | None

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of the body in `data`, in order."""

    def finish(self) -> None:
        """The connection has ended."""


class LengthDecoder:
    """RFC 9112 section 6.2: a body of `length` bytes; 0 makes it done from the start."""

    __slots__ = ("done", "leftover", "remaining", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.leftover = b""
        self.trailers: Headers | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The part of `data` that belongs to the body; what comes after it goes to `leftover`."""
        size = len(data)
        remaining = self.remaining
        if size < remaining:
            self.remaining = remaining - size
            return [data] if size else []
        if self.done:
            self.leftover += data
            return []
        self.remaining = 0
        self.done = True
        if size == remaining:
            return [data]
        self.leftover = data[remaining:]
        return [data[:remaining]]

    def skip(self, size: int) -> None:
        """So many bytes of the body, at most all that remain, have gone another way."""
        self.remaining -= size
        self.done = self.remaining == 0

    def finish(self) -> None:
        """Raises ProtocolError("truncated-body") if bytes are missing (RFC 9112 section 8)."""
        if not self.done:
            raise ProtocolError("truncated-body", f"{self.remaining} bytes of the body are missing")


class UntilCloseDecoder:
    """RFC 9112 section 6.3, rule 8: an answer whose body ends with the connection."""

    __slots__ = ("done", "leftover", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.leftover = b""
        self.trailers: Headers | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """All of it."""
        return [data] if data else []

    def finish(self) -> None:
        """The body is complete, as far as anyone can tell: such a body can not be told from a truncated one."""
        self.done = True


def body_decoder(framing: Framing, limits: Limits = DEFAULT_LIMITS) -> BodyDecoder:
    """The decoder for a body framed like this."""
    if framing.kind == CHUNKED:
        return ChunkedDecoder(limits)
    if framing.kind == UNTIL_CLOSE:
        return UntilCloseDecoder()
    return LengthDecoder(framing.length)
