"""One call's response as it arrives: initial metadata, messages, and how it ended.

Pure: fed with what HTTP/2 delivers for the stream, it decides what that means for gRPC (`PROTOCOL-HTTP2.md`,
"Responses"), broken deployments included: answers without a status, HTTP errors of proxies, foreign content types.
"""

from collections.abc import Iterable

from tulle_trio_grpc import percent
from tulle_trio_grpc.errors import BadResponse, GrpcError, RemoteError
from tulle_trio_grpc.framing import MessageReader
from tulle_trio_grpc.metadata import Metadata, decode, field
from tulle_trio_grpc.status import StatusCode, from_http, from_reset, parse_status, reset_name

_Fields = Iterable[tuple[bytes, bytes]]


class Response:
    """States: waiting (`initial_metadata` is None), open, `ended`. Once ended, `error` is None for OK.

    Messages that came before the end can still be taken after it. Whatever arrives after the end is ignored.
    """

    def __init__(self, message_limit: int) -> None:
        self._messages = MessageReader(message_limit)
        self.initial_metadata: Metadata | None = None
        self.trailing_metadata = Metadata()
        self.ended = False
        self.error: GrpcError | None = None

    def headers(self, fields: _Fields, *, end: bool) -> None:
        """The response's first header block; with `end` it is Trailers-Only."""
        fields = list(fields)
        http_status = field(fields, b":status") or "missing"
        content_type = field(fields, b"content-type") or "missing"
        if field(fields, b"grpc-status") is None or not end:
            if http_status != "200":
                code = from_http(int(http_status)) if http_status.isdigit() else StatusCode.UNKNOWN
                return self.fail(BadResponse(code, f"the server answered with HTTP status {http_status}, not in gRPC"))
            if not content_type.startswith("application/grpc"):
                problem = f"the server answered with content-type {content_type!r}, not application/grpc"
                return self.fail(BadResponse(StatusCode.UNKNOWN, problem))
        if end:
            self.initial_metadata = Metadata()
            return self.trailers(fields)
        self.initial_metadata = decode(fields)
        self._messages.encoding = field(fields, b"grpc-encoding")
        return None

    def data(self, data: bytes) -> None:
        """Some of the body; what cannot be accepted ends the response with an error."""
        if self.ended:
            return
        try:
            self._messages.feed(data)
        except GrpcError as error:
            self.fail(error)

    def trailers(self, fields: _Fields) -> None:
        """The last header block: the status."""
        if self.ended:
            return None
        fields = list(fields)
        self.trailing_metadata = decode(fields)
        raw_status = field(fields, b"grpc-status")
        if raw_status is None:
            return self.fail(BadResponse(StatusCode.UNKNOWN, "the server ended the call without a grpc-status"))
        code = parse_status(raw_status)
        if code is not StatusCode.OK:
            message = percent.decode(field(fields, b"grpc-message") or "") or "(the server gave no message)"
            return self.fail(RemoteError(code, message))
        if self._messages.incomplete:
            return self.fail(BadResponse(StatusCode.INTERNAL, "the server ended the call in the middle of a message"))
        self.ended = True
        return None

    def end_of_stream(self) -> None:
        """END_STREAM came, with whatever frame; without trailers before it, that is an error."""
        self.fail(BadResponse(StatusCode.UNKNOWN, "the server ended the call without trailers"))

    def reset(self, error_code: int) -> None:
        """The server gave the stream up (RST_STREAM)."""
        code = from_reset(error_code)
        refused = code is StatusCode.UNAVAILABLE
        self.fail(
            RemoteError(code, f"the server reset the stream ({reset_name(error_code)})", not_processed=refused)
        )

    def fail(self, error: GrpcError) -> None:
        """End with this error, if nothing ended it before."""
        if self.ended:
            return
        error.initial_metadata = self.initial_metadata or Metadata()
        error.trailing_metadata = self.trailing_metadata
        self.ended = True
        self.error = error

    def take(self) -> bytes | None:
        """The next message, or None if none is complete; raises GrpcError for one that cannot be decompressed."""
        return self._messages.take()

    def credit(self) -> int:
        """Bytes of the stream's window to give back now (see MessageReader)."""
        return self._messages.credit()
