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

MUCH = 1 << 18
"""Bytes that are waited for where so many are still to come. Who is woken for each segment works for each, and so does
the sender, who is told each time that there is room again."""

PATIENCE = 0.01
"""Seconds, rounded up to a tick of the wheel, that they are waited for. A body that takes longer once has paused, and
is passed on as it comes from then on."""


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
    *,
    taken: Callable[[int], None],
    moved: Callable[[int], None],
    quick: bool,
) -> bool:
    """Move until the body has ended, or comes in small pieces, or its source has something to say that must be read.

    `wait` returns when the source may have more, or raises. `taken` has `decoder` skip what it is told of, and is asked
    as `moved` is by `splice_some`, whose errors these are. `quick`: the source has not paused so far; what is returned
    is the same, for the next time.
    """
    assert isinstance(decoder, http1.LengthDecoder)
    if not (isinstance(source, TcpChannel) and isinstance(sink, TcpChannel)):
        return quick
    try:
        while True:
            size = await splice_some(source, sink, pipes, decoder.remaining, taken, moved)
            if size < FEW or decoder.done or source.stale():
                return quick
            if quick:
                source.low_water(min(MUCH, decoder.remaining))
                try:
                    with source.watch.driver.deadline(PATIENCE, _Paused()):
                        await wait(source)
                except _Paused:
                    quick = False
                    source.low_water(1)
            else:
                await wait(source)
    finally:
        source.low_water(1)


class _Paused(Exception):
    """It does not come as fast as it is taken."""
