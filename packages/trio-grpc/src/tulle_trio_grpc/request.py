"""The header fields of a request (gRPC `PROTOCOL-HTTP2.md`, "Request-Headers"). Pure."""

from tulle_trio_grpc import compression, timeouts
from tulle_trio_grpc.metadata import HeaderFields

#: The form that gRPC recommends: grpc-language-variant/version. (Asking importlib.metadata would cost a megabyte.)
USER_AGENT = "grpc-python-tulle-trio/0.1.0"


def request_headers(
    path: str,
    *,
    scheme: str,
    authority: str,
    timeout: float | None,
    gzip: bool,
    user_agent: str,
    metadata: HeaderFields,
) -> HeaderFields:
    """`timeout` is the time left in seconds, above 0, or None for no deadline. Custom metadata comes last."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
    ]
    if timeout is not None:
        fields.append((b"grpc-timeout", timeouts.encode(timeout).encode()))
    fields += [(b"te", b"trailers"), (b"content-type", b"application/grpc")]
    if gzip:
        fields.append((b"grpc-encoding", b"gzip"))
    fields += [
        (b"grpc-accept-encoding", compression.ACCEPTED.encode()),
        (b"user-agent", user_agent.encode()),
    ]
    return fields + metadata
