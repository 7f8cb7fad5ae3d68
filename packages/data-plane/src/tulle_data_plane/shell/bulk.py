"""Bodies of known length, moved by the kernel where nobody looks at their bytes: splice.py's pipes, for messages.

Owns when a body is moved so, and that exactly its own bytes are. Refuses to know deadlines and ends: a body's reader
waits as it always does, and what remains is read and copied as usual, so that truncation, silence and errors are found
in one place.

A body is not moved when a policy has put its own around it (unless that lets it pass by: WrappedBody.pass_by), when its
length is not known, when one side is not plain TCP, when little is left of it, or when it comes in small pieces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tulle_data_plane.shell.channel import Channel, TcpChannel
from tulle_data_plane.shell.splice import FEW, Pipes, splice_some
from tulle_data_plane.wire import http1

LEAST = 1 << 17
"""Bytes of a body that are worth a pipe."""

MANY = 1 << 15
"""Bytes that come in one go: then more are coming as fast as they are taken."""


def worth_it(source: Channel, decoder: http1.BodyDecoder, read: int) -> bool:
    """Whether to move what is left, when the last `read` bytes came in one go."""
    return (
        read >= MANY
        and isinstance(decoder, http1.LengthDecoder)
        and decoder.remaining >= LEAST
        and isinstance(source, TcpChannel)
    )


async def pour(
    source: Channel,
    decoder: http1.BodyDecoder,
    sink: Channel,
    pipes: Pipes,
    wait: Callable[[TcpChannel], Awaitable[None]],
    moved: Callable[[int], None],
) -> None:
    """Move until the body has ended, or comes in small pieces, or its source has something to say that must be read.

    `wait` returns when the source may have more, or raises. Errors are those of `splice_some`.
    """
    assert isinstance(decoder, http1.LengthDecoder)
    if not (isinstance(source, TcpChannel) and isinstance(sink, TcpChannel)):
        return
    while True:
        size = await splice_some(source, sink, pipes, decoder.remaining, decoder.skip, moved)
        if size < FEW or decoder.done or source.stale():
            return
        await wait(source)
