"""Everything that a call can raise: one family, `GrpcError`, with a subclass for each cause.

Whoever only wants the outcome looks at `error.code`; whoever wants to know who decided it, catches the subclass.
Misuse of a call (sending after `done_writing()`, two tasks sending at once) is not an outcome, and raises
trio's own `ClosedResourceError` and `BusyResourceError`.
"""

from tulle_trio_grpc.metadata import Metadata
from tulle_trio_grpc.status import StatusCode


class GrpcError(Exception):
    """A call that did not end with OK.

    `code` and `message` say why. `initial_metadata` and `trailing_metadata` are what the server sent, as far as it
    did. `path` is the method, once known. `not_processed` is true if the server certainly never began to work on
    the call, so that sending it again is safe whatever the method does.
    """

    def __init__(
        self,
        code: StatusCode,
        message: str,
        *,
        initial_metadata: Metadata = Metadata(),  # noqa: B008  (immutable)
        trailing_metadata: Metadata = Metadata(),  # noqa: B008
        not_processed: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.initial_metadata = initial_metadata
        self.trailing_metadata = trailing_metadata
        self.not_processed = not_processed
        self.path: str | None = None

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" + (f" [{self.path}]" if self.path else "")


class RemoteError(GrpcError):
    """The server answered with this status itself, in trailers or by resetting the stream."""

    @property
    def status_details(self) -> bytes | None:
        """The serialized `google.rpc.Status` of `grpc-status-details-bin`, if the server sent one."""
        value = self.trailing_metadata.get("grpc-status-details-bin")
        return value if isinstance(value, bytes) else None


class DeadlineExceeded(GrpcError):
    """The call's own deadline passed here, whatever the server is doing."""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.DEADLINE_EXCEEDED, message)


class ConnectFailed(GrpcError):
    """No connection could be made; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.UNAVAILABLE, message, not_processed=True)


class ConnectionLost(GrpcError):
    """The connection ended under the call, or the server said that it would not process it (GOAWAY)."""

    def __init__(self, message: str, *, not_processed: bool = False) -> None:
        super().__init__(StatusCode.UNAVAILABLE, message, not_processed=not_processed)


class Cancelled(GrpcError):
    """`call.cancel()` was called, or the channel was closed. (A cancelled trio scope raises `trio.Cancelled`.)"""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.CANCELLED, message)


class BadResponse(GrpcError):
    """The server sent something that gRPC does not allow: no status, wrong content type, broken framing."""


class MessageTooLarge(GrpcError):
    """A message, or a call's metadata, is larger than one of the two sides accepts."""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.RESOURCE_EXHAUSTED, message)


class SerializationFailed(GrpcError):
    """The serializer or deserializer that the caller passed in raised; its exception is the `__cause__`."""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.INTERNAL, message)
