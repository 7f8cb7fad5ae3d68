"""HTTP/1.0 and 1.1 (RFC 9112): everything that the shell needs of the codec, in one place to import from.

    end = find_head_end(read, 0, limits)                   # -1: read more, through a PartialHead
    request = parse_request(read[:end], limits)
    body = body_decoder(request.framing, limits)
    for piece in body.feed(data): ...                      # until body.done; then body.leftover begins the next message
    encode_response(200, headers.block, framing, keep_alive) + encode_chunk(piece) + LAST_CHUNK
"""

from tulle_data_plane.wire.bodies import BodyDecoder, LengthDecoder, UntilCloseDecoder, body_decoder
from tulle_data_plane.wire.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk, encode_last_chunk
from tulle_data_plane.wire.encode import (
    CONTINUE,
    answer_framing,
    encode_request,
    encode_response,
    plain_answer,
    plain_request,
)
from tulle_data_plane.wire.errors import REASONS, ProtocolError
from tulle_data_plane.wire.head import PartialHead, find_head_end
from tulle_data_plane.wire.limits import DEFAULT_LIMITS, Limits
from tulle_data_plane.wire.memory import LARGEST as LARGEST_KNOWN
from tulle_data_plane.wire.messages import (
    CHUNKED,
    CHUNKED_BODY,
    LENGTH,
    NO_BODY,
    NONE,
    UNTIL_CLOSE,
    UNTIL_CLOSE_BODY,
    Framing,
    RequestHead,
    ResponseHead,
)
from tulle_data_plane.wire.request import RequestParser, parse_request
from tulle_data_plane.wire.response import ResponseParser, parse_response

__all__ = [
    "CHUNKED",
    "CHUNKED_BODY",
    "CONTINUE",
    "DEFAULT_LIMITS",
    "LARGEST_KNOWN",
    "LAST_CHUNK",
    "LENGTH",
    "NONE",
    "NO_BODY",
    "REASONS",
    "UNTIL_CLOSE",
    "UNTIL_CLOSE_BODY",
    "BodyDecoder",
    "ChunkedDecoder",
    "Framing",
    "LengthDecoder",
    "Limits",
    "PartialHead",
    "ProtocolError",
    "RequestHead",
    "RequestParser",
    "ResponseHead",
    "ResponseParser",
    "UntilCloseDecoder",
    "answer_framing",
    "body_decoder",
    "encode_chunk",
    "encode_last_chunk",
    "encode_request",
    "encode_response",
    "find_head_end",
    "parse_request",
    "parse_response",
    "plain_answer",
    "plain_request",
]
