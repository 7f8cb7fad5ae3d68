"""Discovery.Watch: one stream a proxy.

Owns the conversation: who may say what when, and the sender that writes as fast as the proxy reads. A write waits
for the proxy's flow-control window; what changes meanwhile is coalesced by the session, so a slow proxy costs one
version a destination and no queue. What it must not do is decide: proxies.py and session.py do.

On the end of a stream, for whatever reason, its session is forgotten. On shutdown, streams end with OK, and proxies
reconnect elsewhere or wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc
from tulle_api.v1 import discovery_pb2 as pb

from tulle_control_plane.grpc.proxies import Connected, Proxies
from tulle_control_plane.grpc.session import INBOUND, Node, Session
from tulle_control_plane.translate import Messages

log = logging.getLogger(__name__)

INTRODUCTION_WITHIN = 10.0  # seconds
LAST_WRITE_WITHIN = 2.0  # seconds
MOST_SUBSCRIPTIONS = 20_000
LONGEST_DESTINATION = 64  # "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535" has 53

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Misbehaved(Exception):
    """The proxy said something that makes no sense; its stream is ended with the reason."""


class Discovery:
    """The service. `stopping` is set when the server shuts down."""

    def __init__(self, proxies: Proxies, stopping: asyncio.Event, wall: Callable[[], float] = time.time) -> None:
        self._proxies = proxies
        self._stopping = stopping
        self._wall = wall
        self._messages = Messages()

    async def watch(self, requests: AsyncIterator[pb.WatchRequest], context: Context) -> None:
        """Serve one proxy until either side ends the stream."""
        try:
            node = await self._introduction(requests)
        except Misbehaved as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
        connected = self._proxies.connect(Session(node, self._wall()))
        log.info("a proxy connected", extra={"pod": node.pod, "namespace": node.namespace, "instance": node.instance})
        reader = asyncio.ensure_future(self._read(requests, connected))
        sender = asyncio.ensure_future(self._send(connected, context))
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((reader, sender, stopped), return_when=asyncio.FIRST_COMPLETED)
            # gRPC takes no status while it is still writing: let the write that is under way end
            connected.end()
            await asyncio.wait((sender,), timeout=LAST_WRITE_WITHIN)
            for task in (reader, sender):
                if task.done() and (error := task.exception()) is not None:
                    raise error
        except Misbehaved as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
        finally:
            self._proxies.disconnect(connected)
            reader.cancel()
            sender.cancel()
            stopped.cancel()
            await asyncio.gather(reader, sender, stopped, return_exceptions=True)
            log.info("a proxy disconnected", extra={"pod": node.pod, "namespace": node.namespace})

    async def _introduction(self, requests: AsyncIterator[pb.WatchRequest]) -> Node:
        try:
            first = await asyncio.wait_for(anext(requests), INTRODUCTION_WITHIN)
        except StopAsyncIteration:
            raise Misbehaved("the stream ended before its first message, which must be `node`") from None
        except TimeoutError:
            raise Misbehaved(f"no `node` within {INTRODUCTION_WITHIN:g} s of the stream's start") from None
        if first.WhichOneof("kind") != "node":
            raise Misbehaved(f"the first message must be `node`, got `{first.WhichOneof('kind')}`")
        node = first.node
        if not node.pod or not node.namespace:
            raise Misbehaved("`node` needs `pod` and `namespace`; without them nothing can be computed for it")
        return Node(
            pod=node.pod[:253],
            namespace=node.namespace[:253],
            service_account=node.service_account[:253],
            workload=node.workload[:300],
            version=node.version[:64],
            addresses=tuple(address[:64] for address in node.addresses[:8]),
            instance=node.instance[:64],
            host=node.host[:253],
        )

    async def _read(self, requests: AsyncIterator[pb.WatchRequest], connected: Connected) -> None:
        session = connected.session
        async for request in requests:
            match request.WhichOneof("kind"):
                case "subscribe":
                    destination = _destination(request.subscribe.destination)
                    if len(session.subscriptions) >= MOST_SUBSCRIPTIONS:
                        raise Misbehaved(f"more than {MOST_SUBSCRIPTIONS} destinations; unsubscribe from idle ones")
                    self._proxies.subscribe(connected, destination, request.subscribe.held_version)
                case "unsubscribe":
                    destination = _destination(request.unsubscribe.destination)
                    if destination != INBOUND:
                        self._proxies.unsubscribe(connected, destination)
                case "ack":
                    session.ack(_destination(request.ack.destination), request.ack.version)
                case "nack":
                    self._nack(session, request.nack)
                case None:  # of a later proxy, which goes on without an answer; to end its stream would be no help
                    continue
                case other:
                    raise Misbehaved(f"expected subscribe, unsubscribe, ack or nack, got `{other}`")

    def _nack(self, session: Session, nack: pb.Nack) -> None:
        session.nack(_destination(nack.destination), nack.version, nack.error)
        log.warning(
            "a proxy refused its configuration and keeps the one it had",
            extra={
                "pod": session.node.pod,
                "namespace": session.node.namespace,
                "destination": nack.destination,
                "version": nack.version,
                "error": nack.error[:500],
            },
        )

    async def _send(self, connected: Connected, context: Context) -> None:
        while not connected.ending:
            snapshot = connected.session.next()
            if snapshot is None:
                connected.wake.clear()
                await connected.wake.wait()
            else:
                await context.write(self._messages.serialized(snapshot))


def _destination(text: str) -> str:
    if len(text) > LONGEST_DESTINATION:
        raise Misbehaved(f"a destination is such as 10.96.0.7:80 or [fd00::7]:80, got {len(text)} characters")
    return text or INBOUND
