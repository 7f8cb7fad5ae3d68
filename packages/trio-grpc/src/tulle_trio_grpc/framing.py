"""Length-prefixed messages, and how much of the stream's window may be given back.

Pure. A message on the wire is a flag (compressed or not), four bytes of length, big endian, and the body; DATA frames
cut them anywhere (gRPC `PROTOCOL-HTTP2.md`).
"""

from collections import deque
from struct import Struct

from tulle_trio_grpc.compression import compress, decompress
from tulle_trio_grpc.errors import BadResponse, MessageTooLarge
from tulle_trio_grpc.status import StatusCode

_PREFIX = Struct(">BI")
_LONGEST = 2**32 - 1


def encode_message(message: bytes, *, limit: int | None = None, gzip: bool = False) -> bytes:
    """One message as it travels; raises MessageTooLarge beyond `limit` bytes (before compression)."""
    most = _LONGEST if limit is None else min(limit, _LONGEST)
    if len(message) > most:
        raise MessageTooLarge(f"the message has {len(message)} bytes, more than the {most} that may be sent")
    body = compress(message) if gzip else message
    return _PREFIX.pack(gzip, len(body)) + body


class MessageReader:
    """Puts messages together from DATA, whatever its boundaries, none longer than `limit` bytes.

    Back-pressure: `credit()` says how many received bytes the sender may be given again. While a complete message
    waits to be taken, nothing is given for it or what follows; otherwise everything is, also the beginning of a message
    larger than the window, which could never become complete else. So memory is bounded by one message and one window.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._messages: deque[tuple[bool, bytes]] = deque()
        self._held = 0  # bytes on the wire of the complete messages in the queue
        self._uncredited = 0
        self.encoding: str | None = None  # the grpc-encoding header, once known

    def feed(self, data: bytes) -> None:
        """More of the stream; raises MessageTooLarge as soon as a prefix announces too much, or BadResponse."""
        self._uncredited += len(data)
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            flag, length = _PREFIX.unpack_from(self._buffer)
            if flag > 1:
                raise BadResponse(StatusCode.INTERNAL, f"a message began with flag {flag}; only 0 and 1 exist")
            if length > self._limit:
                raise MessageTooLarge(
                    f"the server sent a message of {length} bytes, more than the {self._limit} accepted here"
                    " (max_receive_message)"
                )
            end = _PREFIX.size + length
            if len(self._buffer) < end:
                break
            self._messages.append((bool(flag), bytes(memoryview(self._buffer)[_PREFIX.size : end])))
            self._held += end
            del self._buffer[:end]

    def take(self) -> bytes | None:
        """The next complete message, decompressed, or None; raises as `decompress` does."""
        if not self._messages:
            return None
        compressed, body = self._messages.popleft()
        self._held -= _PREFIX.size + len(body)
        return decompress(body, self.encoding, self._limit) if compressed else body

    def credit(self) -> int:
        """Bytes of window to give back now; each is counted once."""
        keep = self._held + len(self._buffer) if self._messages else 0
        give = max(0, self._uncredited - keep)
        self._uncredited -= give
        return give

    @property
    def incomplete(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)
