"""The gRPC server: services, limits, keepalive.

Owns the options, each with its why. A listener that cannot be had raises PortTaken.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from tulle_api.v1 import discovery_pb2, quota_pb2, telemetry_pb2

from tulle_control_plane.grpc.discovery import Discovery
from tulle_control_plane.grpc.quota import Quota
from tulle_control_plane.grpc.telemetry import Telemetry

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # a second control plane on the port is a mistake, not a way to share it
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),  # a report of every series a proxy may keep fits
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),  # a proxy that vanished without a word is noticed within 30 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # proxies may probe us, at most so often
    ("grpc.http2.max_ping_strikes", 10),
)


class PortTaken(Exception):
    """The port cannot be listened on."""


def make_server(discovery: Discovery, telemetry: Telemetry, quota: Quota) -> grpc.aio.Server:
    """A server with our services, not started."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "tulle.v1.Discovery",
                {
                    "Watch": grpc.stream_stream_rpc_method_handler(
                        discovery.watch,
                        request_deserializer=discovery_pb2.WatchRequest.FromString,
                        response_serializer=None,  # bytes already: one message serves many proxies
                    )
                },
            ),
            grpc.method_handlers_generic_handler(
                "tulle.v1.Telemetry",
                {
                    "Report": grpc.stream_stream_rpc_method_handler(
                        telemetry.report,
                        request_deserializer=telemetry_pb2.ReportRequest.FromString,
                        response_serializer=telemetry_pb2.ReportResponse.SerializeToString,
                    )
                },
            ),
            grpc.method_handlers_generic_handler(
                "tulle.v1.Quota",
                {
                    "Lease": grpc.stream_stream_rpc_method_handler(
                        quota.lease,
                        request_deserializer=quota_pb2.LeaseRequest.FromString,
                        response_serializer=quota_pb2.LeaseResponse.SerializeToString,
                    )
                },
            ),
        )
    )
    return server


def listen(server: grpc.aio.Server, host: str, port: int) -> int:
    """Listen on `host` ("" for every address, IPv6 and IPv4) and `port` (0 for any). Returns the port."""
    for candidate in (host,) if host else ("[::]", "0.0.0.0"):
        try:
            bound = server.add_insecure_port(f"{candidate}:{port}")
        except RuntimeError:  # its text names no reason, only a variable for debugging grpc itself
            continue
        if bound:
            return int(bound)
    raise PortTaken(
        f"cannot listen on {host or '*'}:{port}: the port is in use, or the address is not this machine's; "
        "end what uses it, or set TULLE_GRPC_PORT (and TULLE_LISTEN_HOST)"
    )
