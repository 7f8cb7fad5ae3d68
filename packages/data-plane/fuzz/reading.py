"""Reading a connection the way the shell does, so that a transcript is one string and a list of cuts.

Owns the loop head, body, rest. Refuses to judge what came out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tulle_data_plane.wire.http1 import (
    DEFAULT_LIMITS,
    BodyDecoder,
    Limits,
    PartialHead,
    ProtocolError,
    RequestHead,
    ResponseHead,
    body_decoder,
    parse_request,
    parse_response,
)


class Read(NamedTuple):
    """What came of a connection's bytes."""

    head: Any = None  # RequestHead or ResponseHead, None if it was incomplete or refused
    body: bytes = b""
    trailers: list[tuple[str, str]] | None = None
    done: bool = False
    rest: bytes = b""  # after the message
    error: str = ""  # the reason of a ProtocolError


def read_message(
    pieces: Iterable[bytes],
    limits: Limits = DEFAULT_LIMITS,
    answers: str = "",
    asked_upgrade: str = "",
    ended: bool = False,
) -> Read:
    """Read one message that arrives in `pieces`: a request, or an answer to the method `answers`."""
    partial = PartialHead(limits, "bad-status-line" if answers else "uri-too-long")
    head: RequestHead | ResponseHead | None = None
    body: list[bytes] = []
    decoder: BodyDecoder | None = None
    try:
        for piece in pieces:
            if decoder is not None:
                body += decoder.feed(piece)
                continue
            end = partial.add(piece)
            if end < 0:
                continue
            raw = bytes(partial.data[:end])
            head = parse_response(raw, answers, limits, asked_upgrade) if answers else parse_request(raw, limits)
            decoder = body_decoder(head.framing, limits)
            body += decoder.feed(bytes(partial.data[end:]))
        if ended and decoder is not None:
            decoder.finish()
    except ProtocolError as error:
        return Read(head, error=error.reason)
    if decoder is None:
        return Read()
    trailers = None if decoder.trailers is None else list(decoder.trailers)
    return Read(head, b"".join(body), trailers, decoder.done, decoder.leftover, "")


def same(left: Read, right: Read) -> bool:
    """Equal in everything that a message says; a head as it prints. The body of a refused message is not compared,
    since what came before the fault is handed out when it comes."""
    return left._replace(head=repr(left.head)) == right._replace(head=repr(right.head))
