"""grpc-message: UTF-8 text, percent-encoded where it is not printable ASCII (gRPC `PROTOCOL-HTTP2.md`).

Pure. Decoding never fails: broken escapes stay as they are, broken UTF-8 becomes U+FFFD, as the specification asks.
"""

import re

_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def encode(text: str) -> str:
    """`text` as a grpc-message value."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


def decode(value: str) -> str:
    """The text of a grpc-message value; `value` has one character for each octet (Latin-1)."""
    octets = value.encode("latin-1", "replace")
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), octets).decode("utf-8", "replace")
