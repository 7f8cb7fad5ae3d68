"""Message compression: identity, gzip and deflate (gRPC `compression.md`).

Pure. Decompression never produces more than the message limit, whatever the input promises.
"""

from tulle_trio_grpc.errors import BadResponse, MessageTooLarge
from tulle_trio_grpc.status import StatusCode

#: What we can read, for the grpc-accept-encoding header.
ACCEPTED = "identity,deflate,gzip"
#: What the caller may choose for sending.
SUPPORTED = ("identity", "gzip")

#: The window that zlib is asked for, which also says which wrapper: RFC 1950 for "deflate", RFC 1952 for "gzip".
_WINDOWS = {"deflate": 15, "gzip": 16 + 15}


def compress(message: bytes) -> bytes:
    """The message as one gzip member."""
    import zlib  # only when needed: most channels never compress

    worker = zlib.compressobj(wbits=_WINDOWS["gzip"])
    return worker.compress(message) + worker.flush()


def decompress(data: bytes, encoding: str | None, limit: int) -> bytes:
    """The message that a set compressed-flag announces; `encoding` is the stream's grpc-encoding header."""
    if encoding is None or encoding == "identity":
        raise BadResponse(StatusCode.INTERNAL, "the server sent a compressed message but named no grpc-encoding")
    if encoding not in _WINDOWS:
        raise BadResponse(
            StatusCode.INTERNAL, f"the server compressed with {encoding!r}, but was told to use one of {ACCEPTED}"
        )
    import zlib

    worker = zlib.decompressobj(wbits=_WINDOWS[encoding])
    try:
        message = worker.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadResponse(StatusCode.INTERNAL, f"the server sent a message that is not {encoding}: {error}") from error
    if len(message) > limit:
        raise MessageTooLarge(f"a message is more than {limit} bytes when decompressed; see max_receive_message")
    if not worker.eof or worker.unused_data:
        raise BadResponse(StatusCode.INTERNAL, f"the server sent a message of {encoding} cut short or too long")
    return message
