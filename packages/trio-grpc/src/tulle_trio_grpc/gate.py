"""Looks at the frames from the server before the HTTP/2 state machine does, for three things it would do badly.

1. GOAWAY is taken out: h2 closes the whole connection on it, while RFC 9113 section 6.8 lets the streams that the
   server accepted run to their end, and gRPC servers restart gracefully that way.
2. The first frame must be SETTINGS (RFC 9113 section 3.4); if not, the peer is no HTTP/2 server, and we can say what
   it is.
3. A frame longer than we allow is refused at its header, before its body is buffered (section 4.2).

Pure; all else passes through byte for byte, without being held back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_HEADER_SIZE = 9
_MAX_FRAME_SIZE = 16_384  # what our SETTINGS (the default) allow
_SETTINGS, _GOAWAY = 0x4, 0x7
_HEADER_BLOCK = (0x1, 0x5, 0x9)  # HEADERS, PUSH_PROMISE, CONTINUATION
_END_HEADERS = 0x4


class NotHttp2(Exception):
    """The peer does not follow HTTP/2; the message says what it seems to be."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server wants no further streams; those above `last_stream_id` it has not looked at."""

    last_stream_id: int
    error_code: int
    debug: bytes


class FrameGate:
    """One connection's gate; chunks may be cut anywhere."""

    def __init__(self) -> None:
        self._head = bytearray()  # of the next frame, until complete
        self._passing = 0  # bytes of the current frame's body still to be passed on
        self._goaway: bytearray | None = None
        self._goaway_length = 0
        self._started = False
        self._in_header_block = False

    def feed(self, data: bytes) -> Iterator[bytes | GoAway]:
        """Runs of bytes for the state machine, and GOAWAYs in their place; raises NotHttp2."""
        view = memoryview(data)
        run = bytearray()
        while view:
            if self._passing:
                run += view[: self._passing]
                passed = min(self._passing, len(view))
                view, self._passing = view[passed:], self._passing - passed
            elif self._goaway is None:
                missing = _HEADER_SIZE - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) == _HEADER_SIZE:
                    self._open_frame(run)
            else:
                missing = self._goaway_length - len(self._goaway)
                self._goaway += view[:missing]
                view = view[missing:]
            if self._goaway is not None and len(self._goaway) == self._goaway_length:
                if run:
                    yield bytes(run)
                    run.clear()
                yield self._close_goaway()
        if run:
            yield bytes(run)

    def _open_frame(self, run: bytearray) -> None:
        head = bytes(self._head)
        self._head.clear()
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if not self._started:
            if kind != _SETTINGS:
                raise NotHttp2(_what_it_is(head))
            self._started = True
        if length > _MAX_FRAME_SIZE:
            raise NotHttp2(f"the server sent a frame of {length} bytes, more than the {_MAX_FRAME_SIZE} allowed")
        if kind == _GOAWAY:
            if self._in_header_block or length < 8:
                raise NotHttp2("the server sent a malformed or misplaced GOAWAY")
            self._goaway, self._goaway_length = bytearray(), length
            return
        if kind in _HEADER_BLOCK:
            self._in_header_block = not flags & _END_HEADERS
        run += head
        self._passing = length

    def _close_goaway(self) -> GoAway:
        assert self._goaway is not None
        body, self._goaway = bytes(self._goaway), None
        last_stream_id = int.from_bytes(body[:4], "big") & 0x7FFF_FFFF
        return GoAway(last_stream_id, int.from_bytes(body[4:8], "big"), body[8:])


def _what_it_is(head: bytes) -> str:
    if head.startswith(b"HTTP/"):
        return "the server answered in HTTP/1: this port does not speak gRPC (HTTP/2)"
    if head[:2] in (b"\x15\x03", b"\x16\x03"):
        return "the server answered in TLS: pass an ssl_context, or use its port without TLS"
    return f"the server's first bytes {head!r} are not HTTP/2: this port does not speak gRPC"
