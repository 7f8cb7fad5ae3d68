"""Chunked transfer coding (RFC 9112 section 7.1), both ways.

Owns chunk sizes, extensions and trailers. Extensions are checked, counted and dropped; they mean something to one hop
only. Payload is handed out as it came and never gathered.
"""

from __future__ import annotations

import re
from typing import Final

from tulle_plugin_api import Headers

from tulle_data_plane.wire.errors import ProtocolError, quote
from tulle_data_plane.wire.faults import field_fault
from tulle_data_plane.wire.grammar import BARE_LINE_FEED, FIELD_LINES, TOKEN
from tulle_data_plane.wire.limits import DEFAULT_LIMITS, Limits

LAST_CHUNK: Final = b"0\r\n\r\n"

# RFC 9112 section 7.1: chunk-size = 1*HEXDIG; no sign, no "0x", and at most 15 digits, so that it is below 2**60.
# Section 7.1.1: chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ). No CR or LF can be inside.
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
_EXTENSION = rb"[ \t]*+;[ \t]*+" + TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + TOKEN + rb"|" + _QUOTED + rb"))?"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15}+)((?:" + _EXTENSION + rb")*+)\r\n")
_SIZE_AND_MORE = re.compile(rb"([0-9A-Fa-f]{1,15}+)[ \t;]")
_SIZE_SO_FAR = re.compile(rb"[0-9A-Fa-f]{1,15}+(?:\r|[ \t;][^\n]*+)?")

# RFC 9110 section 6.5.1: fields that frame, route, authenticate or say how to read the body were needed before it; a
# recipient that merges trailers into the header would take these for real.
FORBIDDEN_TRAILERS: Final = frozenset(
    b"authorization cache-control connection content-encoding content-length content-range content-type cookie expect "
    b"forwarded host keep-alive max-forwards proxy-authenticate proxy-authorization proxy-connection range set-cookie "
    b"te trailer transfer-encoding upgrade www-authenticate x-forwarded-for x-forwarded-host x-forwarded-proto".split()
)

# What the next byte belongs to.
_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedDecoder:
    """Takes the coding off a body; the interface is that of `bodies`."""

    __slots__ = (
        "_extension_bytes", "_limits", "_pending", "_remaining", "_searched", "_state", "done", "leftover", "trailers",
    )  # fmt: skip

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._state = _SIZE
        self._remaining = 0  # of the current chunk
        self._pending = b""  # the beginning of a line whose end has not arrived
        self._extension_bytes = 0
        self._searched = 0  # bytes of the trailer section in which no end was found
        self.done = False
        self.leftover = b""
        self.trailers: Headers | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The payload in `data`, one piece per chunk or part of one."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            state = self._state
            if state == _DATA:
                end = at + self._remaining
                if end > size:
                    pieces.append(data[at:] if at else data)
                    self._remaining = end - size
                    return pieces
                pieces.append(data[at:end])
                at = end
                self._state = _DATA_END
            elif state == _DATA_END:
                if not data.startswith(b"\r\n", at):
                    if size - at == 1 and data[at] == 0x0D:
                        break  # half of it
                    raise ProtocolError("bad-chunk", f"a chunk is followed by {quote(data[at : at + 2])}, not CRLF")
                at += 2
                self._state = _SIZE
            elif state == _SIZE:
                line = _SIZE_LINE.match(data, at)
                if line is None:
                    self._judge_partial_size(data, at)
                    break
                at = line.end()
                digits, extensions = line.groups()
                if extensions:
                    self._count_extensions(len(extensions))
                self._remaining = int(digits, 16)
                self._state = _DATA if self._remaining else _TRAILERS
            elif state == _TRAILERS:
                end = self._trailers_end(data, at)
                if end < 0:
                    break
                self._read_trailers(data[at : end - 2])
                at = end
                self._state = _DONE
                self.done = True
            else:
                self.leftover += data[at:]
                return pieces
        self._pending = data[at:]
        return pieces

    def finish(self) -> None:
        """Raises ProtocolError("truncated-body") unless the last chunk and trailers have come (RFC 9112 section 8)."""
        if not self.done:
            raise ProtocolError("truncated-body", "the connection ended before the last chunk")

    def _count_extensions(self, size: int, keep: bool = True) -> None:
        total = self._extension_bytes + size
        if total > self._limits.chunk_extensions:
            raise ProtocolError("chunk-extensions-too-large", f"more than {self._limits.chunk_extensions} bytes")
        if keep:
            self._extension_bytes = total

    def _judge_partial_size(self, data: bytes, at: int) -> None:
        """No size line at `at`: return if one may still come, raise if what is there can not become one."""
        line_feed = data.find(b"\n", at)
        end = line_feed if line_feed >= 0 else len(data)
        size = _SIZE_AND_MORE.match(data, at)
        if size is not None:
            self._count_extensions(end - size.end(1) - 1, keep=False)  # less one: a CR, or still to be seen
        if line_feed >= 0 or not _SIZE_SO_FAR.fullmatch(data, at):
            raise ProtocolError("bad-chunk", f"not a chunk size: {quote(data[at : end + 1])}")

    def _trailers_end(self, data: bytes, at: int) -> int:
        """The offset after the empty line that ends the trailer section, or -1."""
        if data.startswith(b"\r\n", at):
            return at + 2
        searched = at + self._searched  # a section that comes byte by byte is not searched from its beginning each time
        blank = data.find(b"\r\n\r\n", max(at, searched - 3))
        end = len(data) if blank < 0 else blank + 4
        most = at + self._limits.trailers
        if BARE_LINE_FEED.search(data, searched, min(end, most)):  # an end after it might never come
            raise ProtocolError("bad-trailer", "a line ends in LF without CR")
        if end > most:
            raise ProtocolError("trailers-too-large", f"more than {self._limits.trailers} bytes")
        self._searched = end - at
        return -1 if blank < 0 else end

    def _read_trailers(self, block: bytes) -> None:
        if not block:
            return
        if not FIELD_LINES.fullmatch(block):
            raise ProtocolError("bad-trailer", field_fault(block))
        if block.count(b"\n") > self._limits.fields:
            raise ProtocolError("trailers-too-large", f"more than {self._limits.fields} fields")
        for line in block.lower().split(b"\r\n"):
            if (name := line.partition(b":")[0]) in FORBIDDEN_TRAILERS:
                raise ProtocolError("forbidden-trailer", f"{quote(name)} may not be a trailer")
        self.trailers = Headers(block)


def encode_chunk(data: bytes) -> bytes:
    """One chunk; b"" for no data, because an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_last_chunk(trailers: Headers | None = None) -> bytes:
    """The end of a chunked body, with trailers if there are any."""
    return LAST_CHUNK if trailers is None else b"0\r\n" + trailers.block + b"\r\n"
