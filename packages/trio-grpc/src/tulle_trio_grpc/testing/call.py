"""One call on the test server, as its handler sees it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from tulle_trio_grpc import metadata as md
from tulle_trio_grpc import percent, timeouts
from tulle_trio_grpc.errors import GrpcError
from tulle_trio_grpc.framing import MessageReader, encode_message
from tulle_trio_grpc.status import StatusCode

_MESSAGE_LIMIT = 2**31


class Abort(Exception):
    """Raised by a handler to end its call with a status other than OK."""

    def __init__(self, code: StatusCode, message: str = "", metadata: md.MetadataLike = ()) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code, self.message, self.metadata = code, message, metadata


class Sender(Protocol):
    """What a call needs of its connection."""

    def send_headers(self, stream_id: int, fields: md.HeaderFields, *, end: bool = False) -> None:
        """Queue a header block."""

    async def send_data(self, stream_id: int, data: memoryview) -> None:
        """Queue all of `data`, waiting for the client's windows."""


class ServerCall:
    """What a handler gets: the request side, the response side, and when it returns the call ends with OK."""

    def __init__(self, sender: "Sender", stream_id: int, fields: md.HeaderFields) -> None:
        self.path = md.field(fields, b":path") or ""
        self.metadata = md.decode(fields)
        timeout = md.field(fields, b"grpc-timeout")
        self.timeout = timeouts.decode(timeout) if timeout else float("inf")  # seconds
        self.trailing_metadata: md.MetadataLike = ()
        self._sender = sender
        self._id = stream_id
        self._headers_sent = False
        self._done = False  # the client sends no more
        self._messages = MessageReader(_MESSAGE_LIMIT)
        self._messages.encoding = md.field(fields, b"grpc-encoding")
        self._changed = trio.lowlevel.ParkingLot()
        self.scope = trio.CancelScope()

    async def receive(self) -> bytes | None:
        """The next message; None when the client sends no more."""
        await trio.lowlevel.checkpoint()
        while True:
            message = self._messages.take()
            if message is not None or self._done:
                return message
            await self._changed.park()

    async def send_headers(self, metadata: md.MetadataLike = ()) -> None:
        """Initial metadata; before the first message, else it is sent without any."""
        self._headers_sent = True
        fields = [(b":status", b"200"), (b"content-type", b"application/grpc"), *md.encode(metadata)]
        self._sender.send_headers(self._id, fields)

    async def send(self, message: bytes) -> None:
        """One message, as the client's windows allow."""
        if not self._headers_sent:
            await self.send_headers()
        await self._sender.send_data(self._id, memoryview(encode_message(message)))

    def arrived(self, data: bytes = b"", *, end: bool = False) -> None:
        """The connection's part: more of the request, or its end."""
        self._messages.feed(data)
        self._done |= end
        self._changed.unpark_all()

    async def run(self, handler: "Handler | None") -> None:
        """The whole call; cancelled when the client resets it."""
        with self.scope:
            ending = Abort(StatusCode.UNIMPLEMENTED, f"no method {self.path}")
            with trio.move_on_after(self.timeout) as deadline:
                if handler is not None:
                    ending = await self._handle(handler)
            if deadline.cancelled_caught:
                ending = Abort(StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
            status = [(b"grpc-status", b"%d" % ending.code), (b"grpc-message", percent.encode(ending.message).encode())]
            start = [] if self._headers_sent else [(b":status", b"200"), (b"content-type", b"application/grpc")]
            self._sender.send_headers(self._id, start + status + md.encode(ending.metadata), end=True)

    async def _handle(self, handler: "Handler") -> Abort:
        try:
            await handler(self)
        except Abort as ending:
            return ending
        except GrpcError as error:
            return Abort(error.code, error.message)
        except Exception as error:
            return Abort(StatusCode.UNKNOWN, f"the handler raised {error!r}")
        return Abort(StatusCode.OK, metadata=self.trailing_metadata)


Handler = Callable[[ServerCall], Awaitable[None]]
