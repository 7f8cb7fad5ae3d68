"""A gRPC client for trio over the h2 HTTP/2 state machine: neither grpcio nor protobuf is imported.

Start at `open_channel`. Pure modules (framing, metadata, status, timeouts, backoff, keepalive, gate, session, response)
decide; connection, connector and call do the waiting.
"""

from tulle_trio_grpc.address import AddressError
from tulle_trio_grpc.backoff import Backoff
from tulle_trio_grpc.call import Call
from tulle_trio_grpc.channel import Channel, open_channel
from tulle_trio_grpc.errors import (
    BadResponse,
    Cancelled,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    GrpcError,
    MessageTooLarge,
    RemoteError,
    SerializationFailed,
)
from tulle_trio_grpc.keepalive import Keepalive
from tulle_trio_grpc.metadata import Metadata, MetadataError, MetadataLike
from tulle_trio_grpc.rpc import StreamStream, StreamUnary, UnaryStream, UnaryUnary
from tulle_trio_grpc.status import StatusCode
from tulle_trio_grpc.stub import Stub

__all__ = [
    "AddressError",
    "Backoff",
    "BadResponse",
    "Call",
    "Cancelled",
    "Channel",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "GrpcError",
    "Keepalive",
    "MessageTooLarge",
    "Metadata",
    "MetadataError",
    "MetadataLike",
    "RemoteError",
    "SerializationFailed",
    "StatusCode",
    "StreamStream",
    "StreamUnary",
    "Stub",
    "UnaryStream",
    "UnaryUnary",
    "open_channel",
]
