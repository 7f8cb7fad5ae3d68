"""A captured connection, from accept to its end: where it goes, what it speaks, and who serves it.

Owns the connection. The order is the architecture's: original destination, security stage, target,
protocol, codec. Two seams are tables: `stages` (TLS goes here) and `codecs` (HTTP/2 goes there).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Direction, Exchange, Failure

from tulle_data_plane.containment import must_go_on
from tulle_data_plane.errors import STATUS
from tulle_data_plane.host import Host
from tulle_data_plane.log import log, say
from tulle_data_plane.shell.channel import Channel, accepted
from tulle_data_plane.shell.original_destination import is_loop, original_destination
from tulle_data_plane.shell.relay import Tunnel, relay
from tulle_data_plane.stack import Target
from tulle_data_plane.wire import detect

Stage = Callable[[Channel], Awaitable[Channel]]
"""Turns a plain channel into a secured one (a TLS handshake), as a strand. Raises OSError when it fails."""


class Codec(Protocol):
    """Speaks one protocol with a client. See http1_server.Server.serve."""

    async def serve(self, channel: Channel, first: bytes, destination: Address, route: Target) -> Tunnel | None:
        """Serve until the connection ends; a Tunnel if it turns into one."""


Lookup = Callable[[Address], Awaitable[Target]]
"""The target for a destination, as a strand; waits for the control plane if it must."""

# what detection finds -> discovery.proto's word for it
DETECTED = {
    detect.Protocol.HTTP1: pb.PROTOCOL_HTTP1,
    detect.Protocol.HTTP2: pb.PROTOCOL_HTTP2,
    detect.Protocol.TLS: pb.PROTOCOL_OPAQUE,
    detect.Protocol.OPAQUE: pb.PROTOCOL_OPAQUE,
}


class Capture:
    """Serves the connections of one direction."""

    def __init__(
        self,
        direction: Direction,
        host: Host,
        lookup: Lookup,
        codecs: Mapping[int, Codec],
        *,
        stage: Stage | None = None,
        own_ports: Collection[int] = (),
        own_ips: Collection[str] = (),
        find_destination: Callable[[socket.socket], Address] = original_destination,
    ) -> None:
        """`codecs`: by discovery.proto's Protocol; what has none is relayed."""
        self._direction: Direction = direction
        self._host = host
        self._lookup = lookup
        self._codecs = codecs
        self._stage = stage
        self.own_ports = own_ports  # the listeners', once they are bound
        self._own_ips = own_ips
        self._find_destination = find_destination
        self._detected = {
            name: host.counting("detections_total", protocol=name)
            for name in (*(protocol.value for protocol in detect.Protocol), "silent", "timeout")
        }
        self.open = 0  # connections
        self.relaying = 0  # of those, tunnels

    async def handle(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        """Serve one accepted socket to its end. As a strand; owns the socket. Raises nothing but what cancels it.

        All steps are written out here, and not each within the last: a codec's waits pass through what is around it.
        """
        host = self._host
        self.open += 1
        plain: Channel | None = None
        target: Target | None = None
        try:
            plain = accepted(host.driver, sock, peer)
            destination = self._find_destination(sock)
            if destination.port in self.own_ports and is_loop(destination, sock.getsockname()[0], self._own_ips):
                self._refuse_loop(plain, destination)
                return
            channel = plain if self._stage is None else await self._secure(self._stage, plain)
            target = await self._lookup(destination)
            target.users += 1
            protocol, first = self._told(target, destination), b""
            if protocol in (pb.PROTOCOL_DETECT, pb.PROTOCOL_UNSPECIFIED):
                protocol, first = await self._detect(channel, destination)
                if not protocol:
                    channel.close()
                    return
            codec = self._codecs.get(protocol)
            tunnel: Tunnel | None = None
            if codec is not None:
                tunnel = await codec.serve(channel, first, destination, target)
                if tunnel is None:
                    return
            await self._relay(channel, first, destination, target, tunnel)
        except OSError as error:
            say(logging.DEBUG, "connection broke", direction=self._direction, error=str(error))
        except BaseException as error:
            if plain is not None:
                plain.abort()
            if must_go_on(error):
                raise
            if not host.unforeseen(error):
                log.exception("unforeseen error while serving a connection")
        finally:
            self.open -= 1
            if target is not None:
                target.users -= 1
                target.last_used = host.driver.now()
            if plain is not None:
                plain.close()

    def _refuse_loop(self, plain: Channel, destination: Address) -> None:
        say(logging.WARNING, "connection to the proxy's own port refused", reason="loop", source=str(plain.peer),
            destination=str(destination), look_at=STATUS["loop"][1])
        self._host.count("loops_refused_total")
        plain.abort()

    def _told(self, target: Target, destination: Address) -> int:
        """What the connection speaks, as far as configuration says."""
        if destination.port in self._host.settings.opaque_ports and target.protocol in (pb.PROTOCOL_DETECT, 0):
            return pb.PROTOCOL_OPAQUE
        return target.protocol

    async def _secure(self, stage: Stage, plain: Channel) -> Channel:
        seconds = self._host.settings.head_seconds
        with self._host.driver.deadline(seconds, TimeoutError(f"no complete handshake within {seconds:g} s")):
            return await stage(plain)

    async def _detect(self, channel: Channel, destination: Address) -> tuple[int, bytes]:
        """What the client's first bytes look like, and those bytes. (0, b""): it closed without any."""
        first, seconds = b"", self._host.settings.detect_seconds
        try:
            with self._host.driver.deadline(seconds, _Undetected()):
                while (found := detect.detect(first)) is None:
                    data = await channel.recv()
                    if not data:
                        self._detected["opaque" if first else "silent"]()
                        return (pb.PROTOCOL_OPAQUE, first) if first else (0, b"")
                    first += data
        except _Undetected:
            self._host.count("detection_timeouts_total")
            say(logging.WARNING, "protocol not detected in time; relaying as opaque TCP", seconds=seconds,
                destination=str(destination),
                hint=f'if its server speaks first, annotate: tulle.dev/opaque-ports: "{destination.port}"')
            self._detected["timeout"]()
            return pb.PROTOCOL_OPAQUE, first
        self._detected[found.value]()
        return DETECTED[found], first

    def _tcp_failed(self, channel: Channel, exchange: Exchange, failure: Failure) -> None:
        say(logging.WARNING, "connection failed", reason=failure.reason, detail=failure.detail,
            direction=self._direction, source=str(exchange.source), destination=str(exchange.destination),
            look_at=STATUS.get(failure.reason, (0, "the proxy's log"))[1])
        exchange.aborted, exchange.reason, exchange.ended = True, failure.reason, self._host.driver.now()
        self._host.opened(exchange)
        self._host.ended(exchange)
        channel.abort()  # there is no other way to say so in TCP

    async def _relay(
        self, channel: Channel, first: bytes, destination: Address, target: Target, tunnel: Tunnel | None
    ) -> None:
        """Parse nothing more. `tunnel`: what a codec's request has turned the connection into."""
        host, exchange = self._host, Exchange()
        exchange.direction, exchange.source, exchange.destination = self._direction, channel.peer, destination
        exchange.source_identity, exchange.secured, exchange.service = channel.identity, channel.secured, target.service
        exchange.protocol, exchange.started = "tcp", host.driver.now()
        if tunnel is not None:
            # after an upgrade the tunnel's bytes are counted on an exchange of their own
            request = tunnel.exchange or exchange
            exchange.route, exchange.backend, exchange.endpoint = request.route, request.backend, request.endpoint
            first = tunnel.ahead
        else:
            try:
                answer = await target.tcp_handler(exchange)
            except Failure as failure:
                self._tcp_failed(channel, exchange, failure)
                return
            assert isinstance(answer, Tunnel)
            tunnel = answer
        host.opened(exchange)
        self.relaying += 1
        try:
            await relay(
                host.driver, channel, first, tunnel, exchange, host.pipes, host.settings.half_closed_seconds
            )
        finally:
            self.relaying -= 1
            exchange.ended = host.driver.now()
            host.ended(exchange)


class _Undetected(Exception):
    """The detection deadline passed."""
