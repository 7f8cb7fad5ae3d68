"""gRPC status codes, and what stands in for them when the other side did not send one.

Pure tables. Sources: gRPC `statuscodes.md`, `http-grpc-status-mapping.md`, and the RST_STREAM table of
`PROTOCOL-HTTP2.md`.
"""

from enum import IntEnum

from h2.errors import ErrorCodes


class StatusCode(IntEnum):
    """How a call ended; the numbers are those on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: For an answer that is not gRPC's; any other HTTP status is UNKNOWN.
_FROM_HTTP = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}

#: For a stream that the server reset; any code not here is UNKNOWN.
_FROM_RESET = {
    ErrorCodes.NO_ERROR: StatusCode.INTERNAL,
    ErrorCodes.PROTOCOL_ERROR: StatusCode.INTERNAL,
    ErrorCodes.INTERNAL_ERROR: StatusCode.INTERNAL,
    ErrorCodes.FLOW_CONTROL_ERROR: StatusCode.INTERNAL,
    ErrorCodes.SETTINGS_TIMEOUT: StatusCode.INTERNAL,
    ErrorCodes.FRAME_SIZE_ERROR: StatusCode.INTERNAL,
    ErrorCodes.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCodes.CANCEL: StatusCode.CANCELLED,
    ErrorCodes.COMPRESSION_ERROR: StatusCode.INTERNAL,
    ErrorCodes.CONNECT_ERROR: StatusCode.INTERNAL,
    ErrorCodes.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


def from_http(status: int) -> StatusCode:
    """The code for an answer with this HTTP status and no grpc-status."""
    return _FROM_HTTP.get(status, StatusCode.UNKNOWN)


def from_reset(error_code: int) -> StatusCode:
    """The code for a stream that the server reset with this HTTP/2 error code."""
    return _FROM_RESET.get(error_code, StatusCode.UNKNOWN)  # type: ignore[call-overload,no-any-return]


def parse_status(text: str) -> StatusCode:
    """The code in a grpc-status trailer; UNKNOWN for what is no number or no code of gRPC's."""
    try:
        return StatusCode(int(text))
    except ValueError:
        return StatusCode.UNKNOWN


def reset_name(error_code: int) -> str:
    """`CANCEL` for 8, and the number itself for codes that RFC 9113 does not name."""
    try:
        return ErrorCodes(error_code).name
    except ValueError:
        return f"error code {error_code}"
