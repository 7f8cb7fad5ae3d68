"""The control stream: subscriptions up, configuration down, each version acknowledged or refused.

Owns the stream and its reconnects, over a channel that it is given. While it is away, what is known stays in force.
"""

from __future__ import annotations

import logging
import os
import random
from math import inf
from typing import Any

import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address
from tulle_trio_grpc import Backoff, Call, Channel, GrpcError, Stub

from tulle_data_plane import __version__
from tulle_data_plane.destinations import Destinations
from tulle_data_plane.host import Host
from tulle_data_plane.log import log, say
from tulle_data_plane.stack import Rejected

SERVICE: Any = pb.DESCRIPTOR.services_by_name["Discovery"]
INSTANCE = os.urandom(16).hex()
"""New for each start of the process."""


class ControlStream:
    """Keeps `destinations` up to date. `run` never ends by itself."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._queue: trio.MemorySendChannel[pb.WatchRequest] | None = None
        self.destinations = Destinations(host, self._subscribe, self._unsubscribe)
        self.synced = trio.Event()  # set once the inbound configuration has arrived for the first time
        self.rejected: dict[str, str] = {}  # destination -> why, while a refused version is the newest

    # --- up ------------------------------------------------------------------------------------------------

    def _subscribe(self, address: Address, held: str) -> None:
        self._send(pb.WatchRequest(subscribe=pb.Subscribe(destination=str(address), held_version=held)))

    def _unsubscribe(self, address: Address) -> None:
        self.rejected.pop(str(address), None)
        self._send(pb.WatchRequest(unsubscribe=pb.Unsubscribe(destination=str(address))))

    def _send(self, request: pb.WatchRequest) -> None:
        if self._queue is not None:
            try:
                self._queue.send_nowait(request)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the stream is ending; the next one begins with everything

    # --- the stream ------------------------------------------------------------------------------------------

    async def run(self, channel: Channel) -> None:
        """Keep up to date over `channel`, with jittered back-off between streams; for ever."""
        failures, backoff = 0, Backoff(first=0.1, longest=1.0)
        while True:
            try:
                async with Stub(channel, SERVICE).Watch.open() as call:
                    await self._converse(call)
            except (GrpcError, OSError) as error:
                failures = 1 if self.destinations.connected else failures + 1
                say(logging.WARNING, "no control stream; what is known stays in force", error=str(error))
            except Exception:
                failures += 1
                log.exception("unforeseen error in the control stream")
            self.destinations.disconnected()
            self._host.count("control_stream_disconnects_total")
            await trio.sleep(backoff.delay(max(1, failures), random.random))

    async def _converse(self, call: Call[pb.WatchRequest, pb.WatchResponse]) -> None:
        send, receive = trio.open_memory_channel[pb.WatchRequest](inf)
        await call.send(pb.WatchRequest(node=self._node()))
        failure: GrpcError | None = None  # raised outside the nursery, which would wrap it into a group
        async with trio.open_nursery() as nursery:

            async def up() -> None:
                try:
                    async for request in receive:
                        await call.send(request)
                except GrpcError:
                    pass  # the receiving side says why

            self._queue = send
            for address, entry in self.destinations.entries.items():
                self._subscribe(address, entry.version)
            nursery.start_soon(up)
            try:
                async for response in call:
                    if not self.destinations.connected:
                        self.destinations.connect()
                    self._apply(response)
            except GrpcError as error:
                failure = error
            finally:
                self._queue = None
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _node(self) -> pb.Node:
        settings = self._host.settings
        return pb.Node(
            pod=settings.pod_name,
            namespace=settings.pod_namespace,
            service_account=settings.service_account,
            workload=settings.workload,
            version=__version__,
            addresses=settings.pod_ips or ((settings.pod_ip,) if settings.pod_ip else ()),
            instance=INSTANCE,
            host=settings.node_name,
        )

    # --- down ----------------------------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Apply what was doubted when a control plane came back, and is still so."""
        for message, version in self.destinations.settle(now):
            self._apply(pb.WatchResponse(version=version, destination=message), sure=True)

    def _apply(self, response: pb.WatchResponse, *, sure: bool = False) -> None:
        which, version = response.WhichOneof("kind"), response.version
        if which is None:  # of a later control plane: to ack it would be to say something of our inbound side
            return
        name = response.destination.address if which == "destination" else ""
        try:
            if which == "destination":
                if not self.destinations.apply(response.destination, version, sure=sure):
                    return
            elif which == "inbound":
                self.destinations.apply_inbound(response.inbound)
                self.synced.set()
        except Exception as error:
            if not isinstance(error, Rejected):  # our own fault; but other destinations must not suffer for this one
                log.exception("unforeseen error while a configuration was applied")
            self.rejected[name or "inbound"] = str(error)
            self._host.count("configurations_rejected_total")
            say(logging.ERROR, "configuration refused; the last good one stays in force", destination=name or "inbound",
                version=version, error=str(error))
            self._send(pb.WatchRequest(nack=pb.Nack(destination=name, version=version, error=str(error))))
        else:
            self.rejected.pop(name or "inbound", None)
            self._host.count("configurations_applied_total")
            self._send(pb.WatchRequest(ack=pb.Ack(destination=name, version=version)))
