"""The open streams of one connection, and what each HTTP/2 event means for them.

Does no I/O: it feeds responses, resets what cannot go on, and wakes whoever waits.
"""

from collections.abc import Callable

import trio
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tulle_trio_grpc.errors import ConnectionLost
from tulle_trio_grpc.response import Response
from tulle_trio_grpc.session import Session
from tulle_trio_grpc.stream import Stream


class Streams:
    """A stream is in the table until its response has ended, whoever ended it."""

    def __init__(self, session: Session, wake_writer: Callable[[], None], on_empty: Callable[[], None]) -> None:
        self.session = session
        self.wake_writer = wake_writer
        self.progress = trio.lowlevel.ParkingLot()  # who waits for a window, for room to write, or for a free stream
        self.answered = False  # a call got as far as a response
        self._on_empty = on_empty
        self._open: dict[int, Stream] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream_id: int, message_limit: int) -> Stream:
        """A stream that the session has just opened."""
        stream = self._open[stream_id] = Stream(self, stream_id, Response(message_limit))
        return stream

    def handle(self, event: Event) -> None:
        """An event of the session; events that concern no open stream are over already and mean nothing."""
        stream_id = getattr(event, "stream_id", None)
        stream = self._open.get(stream_id) if stream_id else None
        if stream is None or stream_id is None:
            return
        ended = True  # by the server
        match event:
            case ResponseReceived():
                self.answered = True
                ended = event.stream_ended is not None
                stream.response.headers(event.headers, end=ended)
            case DataReceived():
                ended = event.stream_ended is not None
                stream.response.data(event.data)
                self.session.credit(stream_id, stream.response.credit())
            case TrailersReceived():
                stream.response.trailers(event.headers)
            case StreamEnded():
                stream.response.end_of_stream()
            case StreamReset():
                stream.response.reset(event.error_code)
                self.release(stream_id, None)
            case _:
                return
        if stream.response.ended:
            # "When a client receives Trailers before its END_STREAM, it should send RST_STREAM with NO_ERROR."
            done = None if stream.send_closed else ErrorCodes.NO_ERROR
            self.release(stream_id, done if ended else ErrorCodes.CANCEL)
        stream.notify()

    def release(self, stream_id: int, reset: ErrorCodes | None) -> None:
        """A stream is over; `reset` tells the server, if it does not know."""
        if self._open.pop(stream_id, None) is None:
            return
        if reset is not None:
            self.session.reset(stream_id, reset)
            self.wake_writer()
        self.progress.unpark_all()  # a send that waits must learn of it, and there is room for another stream
        if not self._open:
            self._on_empty()

    def credit(self, stream_id: int, amount: int) -> None:
        """A stream's reader has gone on by so many bytes."""
        if amount and stream_id in self._open:
            self.session.credit(stream_id, amount)
            self.wake_writer()

    def fail(self, reason: str, *, above: int = 0, not_processed: bool = False) -> None:
        """End the streams with identifiers above `above`: the server no longer deals with them."""
        for stream_id, stream in list(self._open.items()):
            if stream_id > above:
                stream.fail(ConnectionLost(reason, not_processed=not_processed), reset=None)
