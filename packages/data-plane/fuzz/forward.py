"""What the proxy sends on of a message that it has read: the bytes that shell/http1_client and http1_server make of it.

Owns that recipe, without the shell's sockets. Refuses to change anything, as a stack without policies does.
"""

from __future__ import annotations

from tulle_data_plane.wire.http1 import (
    CHUNKED,
    CHUNKED_BODY,
    LAST_CHUNK,
    NO_BODY,
    RequestHead,
    ResponseHead,
    answer_framing,
    encode_chunk,
    encode_request,
    encode_response,
)


def request_on(head: RequestHead, body: bytes) -> bytes:
    """A whole request to an upstream. `body`: all of it, without its coding."""
    path = head.path or head.authority  # CONNECT, which the shell does not send on
    framing = CHUNKED_BODY if head.framing.kind == CHUNKED else NO_BODY  # a length is in the block
    start = encode_request(head.method, path, head.headers.block, framing, upgrade=head.upgrade)
    return start + (_chunked(body) if framing.kind == CHUNKED else body)


def answer_on(head: ResponseHead, body: bytes, method: str, version: str) -> bytes:
    """A whole answer to a client of `version` that asked with `method`."""
    framing = answer_framing(head.framing, method, head.status, version)
    # whether its connection is kept is the client's affair, not the upstream's: kept, so that more may follow
    start = encode_response(head.status, head.headers.block, framing, True, version, upgrade=head.upgrade)
    return start + (_chunked(body) if framing.kind == CHUNKED else body)


def _chunked(body: bytes) -> bytes:
    half = len(body) // 2  # more than one chunk, where there is enough for it
    return encode_chunk(body[:half]) + encode_chunk(body[half:]) + LAST_CHUNK
