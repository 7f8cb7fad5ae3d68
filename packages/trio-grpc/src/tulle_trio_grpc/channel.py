"""`open_channel`: the entry to everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import random as _random

import trio

from tulle_trio_grpc import compression as _compression
from tulle_trio_grpc.address import parse_address
from tulle_trio_grpc.backoff import Backoff
from tulle_trio_grpc.call import Reply, Request
from tulle_trio_grpc.caller import Caller
from tulle_trio_grpc.connector import Connector
from tulle_trio_grpc.keepalive import Keepalive
from tulle_trio_grpc.request import USER_AGENT
from tulle_trio_grpc.rpc import StreamStream, StreamUnary, UnaryStream, UnaryUnary
from tulle_trio_grpc.transport import SSLContextSource, dial

_DEFAULT_BACKOFF = Backoff()


class Channel:
    """Makes callables for methods. Paths are `/package.Service/Method`; serializers are plain functions.

    Calls of one channel share one connection; any number may run at once, from any task of the same trio run.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def unary_unary(
        self, path: str, request_serializer: Callable[[Request], bytes], response_deserializer: Callable[[bytes], Reply]
    ) -> UnaryUnary[Request, Reply]:
        """One request, one reply: `reply = await rpc(request)`."""
        return UnaryUnary(self._caller, path, request_serializer, response_deserializer)

    def unary_stream(
        self, path: str, request_serializer: Callable[[Request], bytes], response_deserializer: Callable[[bytes], Reply]
    ) -> UnaryStream[Request, Reply]:
        """One request, many replies: `async with rpc.open(request) as call: async for reply in call: ...`."""
        return UnaryStream(self._caller, path, request_serializer, response_deserializer)

    def stream_unary(
        self, path: str, request_serializer: Callable[[Request], bytes], response_deserializer: Callable[[bytes], Reply]
    ) -> StreamUnary[Request, Reply]:
        """Many requests, one reply: `reply = await rpc(requests)`, or `open()`."""
        return StreamUnary(self._caller, path, request_serializer, response_deserializer)

    def stream_stream(
        self, path: str, request_serializer: Callable[[Request], bytes], response_deserializer: Callable[[bytes], Reply]
    ) -> StreamStream[Request, Reply]:
        """Many of both: `async with rpc.open() as call: await call.send(...); await call.receive()`."""
        return StreamStream(self._caller, path, request_serializer, response_deserializer)


@asynccontextmanager
async def open_channel(
    address: str,
    *,
    ssl_context: SSLContextSource | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    user_agent: str = USER_AGENT,
    wait_for_ready: bool = False,
    connect_timeout: float = 20.0,
    keepalive: Keepalive | None = None,
    backoff: Backoff = _DEFAULT_BACKOFF,
    compression: str | None = None,
    max_receive_message: int = 4 * 1024 * 1024,
    max_send_message: int | None = None,
    stream_window: int = 65_535,
    dial_with: Callable[[], Awaitable[trio.abc.Stream]] | None = None,
    random: Callable[[], float] = _random,
) -> AsyncIterator[Channel]:
    """A channel to `host:port`, `[v6]:port` or `unix:/path`. Nothing is connected before the first call.

    ssl_context: TLS with this context, or what a function returns at each connect; its ALPN list is set to h2.
    server_hostname: the name the certificate must have and SNI says; the address's host unless given.
    authority: the `:authority` header; the address unless given.
    wait_for_ready: the calls' default: whether they wait until a connection is made, or fail when an attempt does.
    connect_timeout: seconds for resolving, connecting, TLS and the server's first HTTP/2 frame.
    keepalive: pings, see Keepalive; none unless given.
    backoff, random: the pause between failed attempts; `random` gives 0 <= x < 1.
    compression: "gzip" to compress what is sent. What comes may be identity, gzip or deflate in any case.
    max_receive_message, max_send_message: bytes of one message, decompressed.
    stream_window: bytes that a server may send ahead of a call's reader.
    dial_with: replaces connecting (and TLS); for tests and tunnels.

    Leaving closes the connections; calls still open in other tasks end with ConnectionLost. Raises AddressError or
    ValueError for arguments that cannot be right.
    """
    target = parse_address(address)
    if compression is not None and compression not in _compression.SUPPORTED:
        raise ValueError(f"compression {compression!r}: choose one of {', '.join(_compression.SUPPORTED)}")
    if not 0 < stream_window < 2**31:
        raise ValueError(f"stream_window {stream_window}: bytes, from 1 to 2^31-1 (RFC 9113 section 6.9.1)")
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        connector = Connector(
            nursery,
            dial_with or partial(dial, target, ssl_context, server_hostname),
            name=str(target),
            connect_timeout=connect_timeout,
            stream_window=stream_window,
            keepalive=keepalive,
            backoff=backoff,
            random=random,
        )
        caller = Caller(
            connector,
            scheme="http" if ssl_context is None else "https",
            authority=authority or target.authority,
            user_agent=user_agent,
            gzip=compression == "gzip",
            max_receive_message=max_receive_message,
            max_send_message=max_send_message,
            wait_for_ready=wait_for_ready,
        )
        try:
            yield Channel(caller)
        except Exception as error:
            failure = error  # raised below, outside the nursery, which would wrap it into a group
        await connector.close()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
