"""The four kinds of method. Each is made once by a channel and called often.

`open(...)` gives the Call itself, for streaming, metadata and cancelling; kinds with one reply can be called directly.
All take `timeout` (seconds for the whole call, None for none), `metadata`, and `wait_for_ready` (None: the channel's).
"""

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Generic

import trio

from tulle_trio_grpc import metadata as md
from tulle_trio_grpc.call import Call, Reply, Request
from tulle_trio_grpc.caller import Caller


class _Method(Generic[Request, Reply]):
    """What the four have in common."""

    def __init__(
        self,
        caller: Caller,
        path: str,
        request_serializer: Callable[[Request], bytes],
        response_deserializer: Callable[[bytes], Reply],
    ) -> None:
        if not path.startswith("/") or path.count("/") != 2:
            raise ValueError(f"method path {path!r}: write /package.Service/Method")
        self.path = path
        self._caller = caller
        self._serialize = request_serializer
        self._deserialize = response_deserializer

    def _call(
        self,
        single_request: tuple[Request] | None,
        timeout: float | None,
        metadata: md.MetadataLike,
        wait_for_ready: bool | None,
    ) -> Call[Request, Reply]:
        return Call(
            self._caller,
            self.path,
            self._serialize,
            self._deserialize,
            timeout=timeout,
            metadata=md.encode(metadata),
            wait_for_ready=self._caller.wait_for_ready if wait_for_ready is None else wait_for_ready,
            single_request=single_request,
        )


class _OneRequest(_Method[Request, Reply]):
    def open(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: md.MetadataLike = (),
        wait_for_ready: bool | None = None,
    ) -> Call[Request, Reply]:
        """The call, to be entered with `async with`; the request goes out on entering."""
        return self._call((request,), timeout, metadata, wait_for_ready)


class _ManyRequests(_Method[Request, Reply]):
    def open(
        self,
        *,
        timeout: float | None = None,
        metadata: md.MetadataLike = (),
        wait_for_ready: bool | None = None,
    ) -> Call[Request, Reply]:
        """The call, to be entered with `async with`; then `send` as often as wanted, and `done_writing`."""
        return self._call(None, timeout, metadata, wait_for_ready)


class UnaryUnary(_OneRequest[Request, Reply]):
    """One request, one reply."""

    async def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: md.MetadataLike = (),
        wait_for_ready: bool | None = None,
    ) -> Reply:
        """The reply; raises GrpcError."""
        async with self.open(request, timeout=timeout, metadata=metadata, wait_for_ready=wait_for_ready) as call:
            return await call.reply()


class UnaryStream(_OneRequest[Request, Reply]):
    """One request, any number of replies: `async with rpc.open(request) as call: async for reply in call: ...`."""


class StreamUnary(_ManyRequests[Request, Reply]):
    """Any number of requests, one reply."""

    async def __call__(
        self,
        requests: Iterable[Request] | AsyncIterable[Request],
        *,
        timeout: float | None = None,
        metadata: md.MetadataLike = (),
        wait_for_ready: bool | None = None,
    ) -> Reply:
        """The reply; raises GrpcError. A server that answers early is noticed at the next request."""
        async with self.open(timeout=timeout, metadata=metadata, wait_for_ready=wait_for_ready) as call:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    if not await _send(call, request):
                        break
            else:
                for request in requests:
                    if not await _send(call, request):
                        break
            await call.done_writing()
            return await call.reply()


class StreamStream(_ManyRequests[Request, Reply]):
    """Any number of requests and replies, each side at its own pace."""


async def _send(call: Call[Request, Reply], request: Request) -> bool:
    """False if the server has its answer already and reads no more."""
    try:
        await call.send(request)
    except trio.BrokenResourceError:
        return False
    return True
