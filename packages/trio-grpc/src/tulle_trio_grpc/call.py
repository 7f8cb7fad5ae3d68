"""One call, as its caller sees it: typed messages, a deadline over everything, errors that name the method."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

from tulle_trio_grpc.caller import Caller, CallSpec
from tulle_trio_grpc.errors import BadResponse, Cancelled, DeadlineExceeded, GrpcError, SerializationFailed
from tulle_trio_grpc.framing import encode_message
from tulle_trio_grpc.metadata import HeaderFields, Metadata
from tulle_trio_grpc.status import StatusCode
from tulle_trio_grpc.stream import Stream

Request = TypeVar("Request")
Reply = TypeVar("Reply")
_NO_DEADLINE = float("inf")


class Call(Generic[Request, Reply]):
    """An async context manager: entering starts the call, leaving it ends it.

    Leaving before the server has ended the call resets the stream (RST_STREAM CANCEL), also when the block is left
    by an exception or a cancelled trio scope; nothing stays behind. One task may send while another receives.
    Every method raises GrpcError for how the call ended, DeadlineExceeded included; the deadline runs from entering.

    If the server certainly did not look at the call (GOAWAY, REFUSED_STREAM) and it has a single request, it is sent
    once more on a new connection ("transparent retry", gRFC A6).
    """

    def __init__(
        self,
        caller: Caller,
        path: str,
        serialize: Callable[[Request], bytes],
        deserialize: Callable[[bytes], Reply],
        *,
        timeout: float | None,
        metadata: HeaderFields,
        wait_for_ready: bool,
        single_request: tuple[Request] | None,
    ) -> None:
        self._caller = caller
        self._path = path
        self._serialize = serialize
        self._deserialize = deserialize
        self._timeout = timeout
        self._metadata = metadata
        self._wait_for_ready = wait_for_ready
        self._single_request = single_request
        self._request: bytes | None = None  # the single request, encoded
        self._may_retry = single_request is not None
        self._deadline = _NO_DEADLINE
        self._stream: Stream | None = None

    async def __aenter__(self) -> Self:
        if self._timeout is not None:
            self._deadline = trio.current_time() + self._timeout
        try:
            if self._single_request is not None:
                self._request = self._encode(self._single_request[0])
            with self._guard("connecting"):
                await self._begin()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    async def send(self, message: Request) -> None:
        """Send one message; returns when it is on its way, so a server that does not read makes this wait.

        Raises trio.BrokenResourceError if the server has ended the call with OK. After a cancelled send the call can
        only be left: half a message is on its way.
        """
        data = self._encode(message)
        with self._guard("sending"):
            await self._started.send(data)

    async def done_writing(self) -> None:
        """No more messages from us. If the server has ended the call already, receiving says how."""
        with self._guard("sending"), suppress(GrpcError, trio.BrokenResourceError):
            await self._started.send(b"", end=True)

    async def receive(self) -> Reply:
        """The next message; raises trio.EndOfChannel when the server has ended the call with OK."""
        data = await self._next()
        if data is None:
            raise trio.EndOfChannel
        return self._decode(data)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply:
        data = await self._next()
        if data is None:
            raise StopAsyncIteration
        return self._decode(data)

    async def reply(self) -> Reply:
        """The one message of a method with a single reply, once the call has ended with OK."""
        data = await self._next()
        if data is None or await self._next() is not None:
            many = "none" if data is None else "more than one"
            raise self._fail(BadResponse(StatusCode.UNIMPLEMENTED, f"one reply was expected, the server sent {many}"))
        return self._decode(data)

    async def initial_metadata(self) -> Metadata:
        """What the server sent before its first message; waits for it."""
        with self._guard("waiting for the server"):
            while True:
                await self._started.headers()
                response = self._started.response
                if response.error is None or response.initial_metadata is not None:
                    return response.initial_metadata or Metadata()
                await self._retry_or_raise(response.error)

    @property
    def trailing_metadata(self) -> Metadata:
        """What the server sent with its status; empty before the call has ended."""
        return self._started.response.trailing_metadata

    @property
    def code(self) -> StatusCode | None:
        """How the call ended; None while it has not."""
        response = self._started.response
        if not response.ended:
            return None
        return response.error.code if response.error else StatusCode.OK

    def cancel(self) -> None:
        """End the call now: RST_STREAM CANCEL; whoever waits on it gets Cancelled."""
        self._started.fail(Cancelled("the call was cancelled here"))

    # ---

    @property
    def _started(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("a call starts when its block is entered: use `async with rpc.open(...) as call`")
        return self._stream

    async def _begin(self) -> None:
        self._stream = await self._caller.start(
            CallSpec(self._path, self._metadata, self._deadline, self._wait_for_ready)
        )
        if self._request is not None:
            with suppress(GrpcError, trio.BrokenResourceError):  # ended before it was read: receiving says how
                await self._stream.send(self._request, end=True)

    async def _next(self) -> bytes | None:
        with self._guard("waiting for the server"):
            while True:
                try:
                    data = await self._started.receive()
                except GrpcError as error:
                    await self._retry_or_raise(error)
                else:
                    self._may_retry = False
                    return data

    async def _retry_or_raise(self, error: GrpcError) -> None:
        if not (self._may_retry and error.not_processed):
            raise error
        self._may_retry = False
        await self._begin()

    @contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        """The deadline over one step, and the method's name on its errors."""
        with trio.CancelScope(deadline=self._deadline) as scope:
            try:
                yield
            except GrpcError as error:
                # A server that counts the same deadline cancels the stream: still our deadline.
                if error.code is StatusCode.CANCELLED and trio.current_time() >= self._deadline:
                    raise self._too_late(doing) from error
                error.path = self._path
                raise
        if scope.cancelled_caught:
            raise self._too_late(doing)

    def _too_late(self, doing: str) -> GrpcError:
        last = self._caller.connector.last_failure
        message = f"{self._timeout:g} s passed while {doing}" + (f"; last attempt to connect: {last}" if last else "")
        return self._fail(DeadlineExceeded(message))

    def _fail(self, error: GrpcError) -> GrpcError:
        error.path = self._path
        if self._stream is not None:
            self._stream.fail(error)
        return error

    def _encode(self, message: Request) -> bytes:
        try:
            data = self._serialize(message)
        except Exception as error:
            raise self._fail(SerializationFailed(f"the request serializer raised {error!r}")) from error
        try:
            return encode_message(data, limit=self._caller.max_send_message, gzip=self._caller.gzip)
        except GrpcError as error:
            raise self._fail(error) from None

    def _decode(self, data: bytes) -> Reply:
        try:
            return self._deserialize(data)
        except Exception as error:
            raise self._fail(SerializationFailed(f"the response deserializer raised {error!r}")) from error

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.fail(Cancelled("the call was left before it had ended"))
