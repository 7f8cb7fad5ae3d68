"""The test server: grpcio's client agrees with it, and so does ours. With test_grpcio.py this closes the circle."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
import trio
from tulle_trio_grpc import DeadlineExceeded, RemoteError, StatusCode, open_channel
from tulle_trio_grpc.testing import Abort, ServerCall, memory_server, serve

pytestmark = pytest.mark.trio
BIG = bytes(range(256)) * 4096  # 1 MiB


def same(data: bytes) -> bytes:
    return bytes(data)


async def echo(call: ServerCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)


async def total(call: ServerCall) -> None:
    count = 0
    while (message := await call.receive()) is not None:
        count += len(message)
    await call.send(b"%d" % count)


async def mirror(call: ServerCall) -> None:
    await call.send_headers([(key, value) for key, value in call.metadata if key.startswith("x-")])
    await call.send(await call.receive() or b"")
    call.trailing_metadata = [("x-timeout", f"{call.timeout:.0f}"), ("last-bin", b"\0\xff")]


async def refuse(call: ServerCall) -> None:
    raise Abort(StatusCode.NOT_FOUND, "no ☃: 100%", {"x-hint": "look"})


async def crash(call: ServerCall) -> None:
    raise LookupError("oops")


async def hang(call: ServerCall) -> None:
    await trio.sleep_forever()


HANDLERS = {f"/t.S/{each.__name__}": each for each in (echo, total, mirror, refuse, crash, hang)}
Ask = Callable[[Callable[[grpc.Channel], Any]], Any]


@asynccontextmanager
async def grpcio_client() -> AsyncIterator[Ask]:
    """Runs a function with a grpcio channel to our server, in a thread."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, partial(serve, handlers=HANDLERS), 0)
        port = listeners[0].socket.getsockname()[1]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield lambda use: trio.to_thread.run_sync(use, channel)
        nursery.cancel_scope.cancel()


async def test_grpcio_calls_of_every_kind() -> None:
    def use(channel: grpc.Channel) -> None:
        assert channel.unary_unary("/t.S/echo")(b"x") == b"x"
        assert channel.unary_unary("/t.S/echo")(BIG) == BIG
        assert list(channel.unary_stream("/t.S/echo")(b"one")) == [b"one"]
        assert channel.stream_unary("/t.S/total")(iter([bytes(1000)] * 500)) == b"500000"
        messages = [b"%d" % number for number in range(500)]
        assert list(channel.stream_stream("/t.S/echo")(iter(messages))) == messages

    async with grpcio_client() as ask:
        await ask(use)


async def test_grpcio_understands_metadata_and_statuses() -> None:
    def use(channel: grpc.Channel) -> None:
        metadata = (("x-a", "1"), ("x-b-bin", b"\0\1"))
        reply, call = channel.unary_unary("/t.S/mirror").with_call(b"m", timeout=100, metadata=metadata)
        assert reply == b"m"
        assert [pair for pair in call.initial_metadata() if pair[0].startswith("x-")] == list(metadata)
        trailing = dict(call.trailing_metadata())
        assert trailing["last-bin"] == b"\0\xff"
        assert 90 < int(trailing["x-timeout"]) <= 100
        for path, code, details in (
            ("refuse", grpc.StatusCode.NOT_FOUND, "no ☃: 100%"),
            ("crash", grpc.StatusCode.UNKNOWN, "the handler raised LookupError('oops')"),
            ("absent", grpc.StatusCode.UNIMPLEMENTED, "no method /t.S/absent"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/t.S/{path}")(b"")
            assert (caught.value.code(), caught.value.details()) == (code, details)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/t.S/hang")(b"", timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    async with grpcio_client() as ask:
        await ask(use)


async def test_grpcio_cancels() -> None:
    def use(channel: grpc.Channel) -> None:
        call = channel.stream_stream("/t.S/hang")(iter([b"x"]))
        call.cancel()
        assert channel.unary_unary("/t.S/echo")(b"alive") == b"alive"

    async with grpcio_client() as ask:
        await ask(use)


async def test_our_client_in_memory(autojump_clock: Any) -> None:
    async with memory_server(HANDLERS) as server, open_channel("test:1", dial_with=server.dial) as channel:
        assert await channel.unary_unary("/t.S/echo", same, same)(BIG) == BIG
        assert await channel.stream_unary("/t.S/total", same, same)([bytes(10_000)] * 100) == b"1000000"
        async with channel.stream_stream("/t.S/echo", same, same).open() as call:
            for number in range(100):
                await call.send(b"%d" % number)
                assert await call.receive() == b"%d" % number
        with pytest.raises(RemoteError, match="NOT_FOUND: no ☃: 100%"):
            await channel.unary_unary("/t.S/refuse", same, same)(b"")
        with pytest.raises(DeadlineExceeded):
            await channel.unary_unary("/t.S/hang", same, same)(b"", timeout=60)
        assert trio.current_time() == pytest.approx(60)
        assert server.connections == 1


async def test_dropped_connections_and_another_try(autojump_clock: Any) -> None:
    async with memory_server(HANDLERS) as server, open_channel("test:1", dial_with=server.dial) as channel:
        for count in (1, 2, 3):
            async with channel.stream_stream("/t.S/echo", same, same).open() as call:
                await call.send(b"x")
                assert await call.receive() == b"x"
                server.drop_connections()
                with pytest.raises(Exception, match="UNAVAILABLE"):
                    await call.receive()
            assert server.connections == count
