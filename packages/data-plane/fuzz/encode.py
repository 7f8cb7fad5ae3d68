"""Heads that policies made: whatever text is in them, one head goes on the wire or ValueError is raised.

Owns how a message is drawn from bytes, and the invariant. A plugin may put anything into method, path, fields and
upgrade, by mistake or because it copies them from a request: none of it may begin another line or another message.
"""

from __future__ import annotations

from tulle_data_plane.wire.http1 import CHUNKED_BODY, NO_BODY, encode_request, encode_response, find_head_end
from tulle_plugin_api import Headers


class Source:
    """Text drawn from bytes: pieces end at a byte 0xFF; what is UTF-8 is read so."""

    def __init__(self, data: bytes) -> None:
        self._pieces = data.split(b"\xff")

    def text(self) -> str:
        """The next piece; "" when there is none left."""
        piece = self._pieces.pop(0) if self._pieces else b""
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return piece.decode("latin-1")

    def pairs(self) -> list[tuple[str, str]]:
        """All that is left, two by two."""
        pairs = []
        while self._pieces:
            pairs.append((self.text(), self.text()))
        return pairs


def check_encode(data: bytes) -> None:
    """One head and nothing after it, with as many lines as fields were given, or ValueError."""
    options, source = data[0] if data else 0, Source(data[1:])
    method, path, upgrade = source.text(), source.text(), source.text()
    headers, lines = Headers(), 0
    for number, (name, value) in enumerate(source.pairs()):
        try:
            (headers.add if options & 4 or number else headers.set)(name, value)
        except ValueError:
            continue
        lines += 1
    chunked = bool(options & 1)
    expected = 1 + lines + chunked + 2 * bool(upgrade)
    framing = CHUNKED_BODY if chunked else NO_BODY
    try:
        request = encode_request(method, path, headers.block, framing, upgrade=upgrade)
    except ValueError:
        pass
    else:
        _one_head(request, expected)
        assert request.startswith(f"{method} {path} HTTP/1.1\r\n".encode("ascii"))
    status = 100 + (options >> 3) * 16 + len(path)
    try:
        answer = encode_response(status, headers.block, framing, upgrade=upgrade)
    except (ValueError, KeyError):
        pass
    else:
        _one_head(answer, expected)


def _one_head(head: bytes, lines: int) -> None:
    assert head.find(b"\r\n\r\n") == len(head) - 4, f"not one head: {head!r}"
    assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n") == lines + 1, f"not {lines} lines: {head!r}"
    assert b"\x00" not in head
    if len(head) <= 8192:  # below every limit of the default ones but that of fields
        assert find_head_end(head) == len(head)
