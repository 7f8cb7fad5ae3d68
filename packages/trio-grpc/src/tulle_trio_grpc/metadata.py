"""gRPC metadata: what the caller gives and gets, and the header fields that carry it.

Pure. Text values are printable ASCII; keys that end in `-bin` have bytes, base64 on the wire
(gRPC `PROTOCOL-HTTP2.md`, "Custom-Metadata"). What is wrong on the way out is refused before anything is sent; what
is odd on the way in is passed on as far as it can be.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping

MetadataValue = str | bytes
#: What callers may pass: a mapping, or pairs where a key may occur more than once.
MetadataLike = Mapping[str, MetadataValue] | Iterable[tuple[str, MetadataValue]]
HeaderFields = list[tuple[bytes, bytes]]

_KEY = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]*")
_BINARY_SUFFIX = "-bin"
#: Fields that are the protocol's own and so never metadata, in either direction.
_PROTOCOL_FIELDS = frozenset(
    {
        "content-type",
        "te",
        "user-agent",
        "connection",
        "host",
        "grpc-timeout",
        "grpc-encoding",
        "grpc-accept-encoding",
        "grpc-status",
        "grpc-message",
        "grpc-message-type",
    }
)


class Metadata(tuple[tuple[str, MetadataValue], ...]):
    """Immutable pairs in the order of arrival; a key may occur more than once."""

    __slots__ = ()

    def get(self, key: str) -> MetadataValue | None:
        """The first value of `key` (lower case), or None."""
        return next((value for name, value in self if name == key), None)

    def get_all(self, key: str) -> list[MetadataValue]:
        """All values of `key`, in order."""
        return [value for name, value in self if name == key]


class MetadataError(ValueError):
    """Metadata that cannot be sent; the message names the key and the rule."""


def encode(metadata: MetadataLike) -> HeaderFields:
    """Header fields for the caller's metadata; raises MetadataError for what must not be sent."""
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    return [_encode_one(key, value) for key, value in pairs]


def _encode_one(key: str, value: MetadataValue) -> tuple[bytes, bytes]:
    if not _KEY.fullmatch(key):
        raise MetadataError(f"metadata key {key!r}: only a-z, 0-9, '_', '-' and '.' are allowed, in lower case")
    if key in _PROTOCOL_FIELDS or key.startswith("grpc-"):
        raise MetadataError(f"metadata key {key!r} is gRPC's own and cannot be set; choose another name")
    if key.endswith(_BINARY_SUFFIX):
        if not isinstance(value, bytes):
            raise MetadataError(f"metadata {key!r}: a key that ends in '-bin' takes bytes, not {type(value).__name__}")
        return key.encode(), b64encode(value).rstrip(b"=")
    if not isinstance(value, str):
        raise MetadataError(f"metadata {key!r}: bytes need a key that ends in '-bin'; text is given as str")
    if not _TEXT.fullmatch(value):
        raise MetadataError(f"metadata {key!r}: the value must be printable ASCII; use a '-bin' key for anything else")
    return key.encode(), value.encode()


def decode(fields: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The metadata among header fields; pseudo-headers and the protocol's own fields are left out."""
    pairs: list[tuple[str, MetadataValue]] = []
    for raw_name, raw_value in fields:
        name = raw_name.decode("latin-1")
        if name.startswith(":") or name in _PROTOCOL_FIELDS:
            continue
        if name.endswith(_BINARY_SUFFIX):
            # "Implementations must split Binary-Headers on ',' before decoding."
            pairs += [(name, value) for part in raw_value.split(b",") if (value := _decode_binary(part)) is not None]
        else:
            pairs.append((name, raw_value.decode("latin-1")))
    return Metadata(pairs)


def _decode_binary(part: bytes) -> bytes | None:
    """Padded or not; None if it is no base64 (dropped: invalid metadata must not fail the call)."""
    part = part.strip()
    try:
        return b64decode(part + b"=" * (-len(part) % 4), validate=True)
    except Base64Error:
        return None


def field(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The first header field of this name, as text, or None."""
    return next((value.decode("latin-1") for key, value in fields if key == name), None)
