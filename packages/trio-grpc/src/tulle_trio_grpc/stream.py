"""One call's stream on a connection: sends with flow control, waits for what arrives, resets.

Bytes only; serialization, deadlines and errors with a method's name are the call's business (call.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from h2.errors import ErrorCodes

from tulle_trio_grpc.response import Response

if TYPE_CHECKING:
    from tulle_trio_grpc.errors import GrpcError
    from tulle_trio_grpc.streams import Streams


class Stream:
    """Made by `Connection.open_stream`. Whoever gets it must see to it that `close()` is called in the end.

    One task may send while another receives. A `send` cancelled in mid-message leaves a stream that can only be closed;
    a cancelled `receive` or `headers` loses nothing.
    """

    def __init__(self, streams: Streams, stream_id: int, response: Response) -> None:
        self._streams = streams
        self._id = stream_id
        self.response = response
        self._sending = False
        self._torn = False  # a send was cut short
        self._send_closed = False
        self._changed = trio.lowlevel.ParkingLot()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send all of `data` as the windows allow; with `end` nothing follows.

        Returns when the last byte is queued for the socket. Raises the call's own error if the server has ended it, and
        trio.BrokenResourceError if it has done so with OK: it will not read this.
        """
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this call")
        if self._send_closed or self._torn:
            raise trio.ClosedResourceError("this call's sending side is closed")
        self._sending = True
        rest = memoryview(data)
        try:
            await trio.lowlevel.checkpoint()
            self._check_open()
            while rest:
                sent = self._streams.session.send(self._id, rest, end=end)
                if sent:
                    rest = rest[sent:]
                    self._streams.wake_writer()
                else:
                    await self._streams.progress.park()
                    self._check_open()
            if end and not data:
                self._streams.session.end(self._id)
                self._streams.wake_writer()
            self._send_closed = end
        except trio.Cancelled:
            self._torn = len(rest) < len(data)
            raise
        finally:
            self._sending = False

    async def receive(self) -> bytes | None:
        """The next message, or None when the server has ended the call with OK; raises its error otherwise."""
        await trio.lowlevel.checkpoint()
        while True:
            message = self.response.take()
            self._streams.credit(self._id, self.response.credit())
            if message is not None:
                return message
            if self.response.ended:
                if self.response.error is not None:
                    raise self.response.error
                return None
            await self._changed.park()

    async def headers(self) -> None:
        """Wait until the server's initial metadata is there, or the call has ended."""
        await trio.lowlevel.checkpoint()
        while self.response.initial_metadata is None and not self.response.ended:
            await self._changed.park()

    def fail(self, error: GrpcError, reset: ErrorCodes | None = ErrorCodes.CANCEL) -> None:
        """End the call with this error unless it has ended; tell the server so, unless `reset` is None."""
        if not self.response.ended:
            self.response.fail(error)
            self._streams.release(self._id, reset)
        self.notify()

    def notify(self) -> None:
        """Something about the response has changed."""
        self._changed.unpark_all()

    @property
    def send_closed(self) -> bool:
        """Whether END_STREAM was sent."""
        return self._send_closed

    def _check_open(self) -> None:
        if not self.response.ended:
            return
        if self.response.error is not None:
            raise self.response.error
        raise trio.BrokenResourceError("the server has ended the call with OK and reads no further messages")
