"""Against grpcio's own server over loopback: every kind of call, metadata, errors, deadlines, sizes, compression."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
import trio
from tulle_trio_grpc import Channel, DeadlineExceeded, GrpcError, MessageTooLarge, RemoteError, StatusCode, open_channel

pytestmark = pytest.mark.trio
BIG = bytes(range(256)) * 4 * 8192  # 8 MiB
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
MakeServer = Callable[..., Any]


def same(data: bytes) -> bytes:
    return bytes(data)


def unary(handler: Any) -> dict[str, Any]:
    return {"/t.S/M": grpc.unary_unary_rpc_method_handler(handler)}


def rpc(channel: Channel, path: str = "/t.S/M") -> Any:
    return channel.unary_unary(path, same, same)


async def echo(request: bytes, context: Any) -> bytes:
    return request


# --- the four kinds


async def test_unary_unary(grpcio_server: MakeServer) -> None:
    server = grpcio_server(unary(echo))
    async with open_channel(server.address) as channel:
        for message in (b"", b"x", bytes(100_000)):
            assert await rpc(channel)(message) == message


async def test_unary_stream(grpcio_server: MakeServer) -> None:
    async def count(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    server = grpcio_server({"/t.S/M": grpc.unary_stream_rpc_method_handler(count)})
    async with open_channel(server.address) as channel:
        async with channel.unary_stream("/t.S/M", same, same).open(b"1000") as call:
            assert [int(message) async for message in call] == list(range(1000))
        assert call.code is StatusCode.OK


async def test_stream_unary(grpcio_server: MakeServer) -> None:
    async def total(requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"%d" % sum([int(request) async for request in requests])

    async def numbers() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield b"%d" % number

    server = grpcio_server({"/t.S/M": grpc.stream_unary_rpc_method_handler(total)})
    async with open_channel(server.address) as channel:
        call = channel.stream_unary("/t.S/M", same, same)
        assert await call([b"1", b"2", b"3"]) == b"6"
        assert await call(numbers()) == b"499500"
        assert await call([]) == b"0"


async def test_stream_unary_answered_early(grpcio_server: MakeServer) -> None:
    async def first(requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for request in requests:
            return request
        return b"none"

    def endless() -> Any:
        while True:
            yield bytes(10_000)

    server = grpcio_server({"/t.S/M": grpc.stream_unary_rpc_method_handler(first)})
    async with open_channel(server.address) as channel:
        assert await channel.stream_unary("/t.S/M", same, same)(endless()) == bytes(10_000)


async def test_stream_stream_ping_pong_and_at_once(grpcio_server: MakeServer) -> None:
    async def each(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request[::-1]

    server = grpcio_server({"/t.S/M": grpc.stream_stream_rpc_method_handler(each)})
    async with open_channel(server.address) as channel:
        method = channel.stream_stream("/t.S/M", same, same)
        async with method.open() as call:
            for number in range(50):
                await call.send(b"%d." % number)
                assert await call.receive() == (b"%d." % number)[::-1]
            await call.done_writing()
            with pytest.raises(trio.EndOfChannel):
                await call.receive()
        async with method.open() as call, trio.open_nursery() as nursery:

            async def send() -> None:
                for number in range(1000):
                    await call.send(b"%d." % number)
                await call.done_writing()

            nursery.start_soon(send)
            assert [message async for message in call] == [(b"%d." % number)[::-1] for number in range(1000)]


async def test_a_hundred_calls_at_once_on_one_connection(grpcio_server: MakeServer) -> None:
    peers: set[str] = set()

    async def handler(request: bytes, context: Any) -> bytes:
        peers.add(context.peer())
        return request

    server = grpcio_server(unary(handler))
    async with open_channel(server.address) as channel:
        replies: list[bytes] = []

        async def one(name: bytes) -> None:
            replies.append(await rpc(channel)(name))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, b"%d" % number)
    assert sorted(replies) == sorted(b"%d" % number for number in range(100))
    assert len(peers) == 1


# --- metadata and errors


async def test_metadata_both_ways(grpcio_server: MakeServer) -> None:
    seen: list[tuple[str, Any]] = []

    async def handler(request: bytes, context: Any) -> bytes:
        seen.extend((key, value) for key, value in context.invocation_metadata())
        await context.send_initial_metadata((("x-first", "1"), ("first-bin", b"\x00\xff,")))
        context.set_trailing_metadata((("x-last", "2"), ("x-last", "3"), ("last-bin", bytes(range(256)))))
        return request

    server = grpcio_server(unary(handler))
    async with open_channel(server.address, user_agent="tulle-test/1") as channel:
        sent = [("x-a", "text with spaces"), ("x-a", "again"), ("b-bin", bytes(range(256)))]
        async with rpc(channel).open(b"", metadata=sent) as call:
            initial = await call.initial_metadata()
            assert (initial.get("x-first"), initial.get("first-bin")) == ("1", b"\x00\xff,")
            await call.reply()
            assert call.trailing_metadata.get_all("x-last") == ["2", "3"]
            assert call.trailing_metadata.get("last-bin") == bytes(range(256))
    assert [pair for pair in seen if pair[0] in ("x-a", "b-bin")] == sent
    assert ("user-agent", "tulle-test/1") in seen


async def test_status_message_details_and_trailers(grpcio_server: MakeServer) -> None:
    details = b"\x08\x05\x12\x02no"  # a google.rpc.Status

    async def handler(request: bytes, context: Any) -> bytes:
        await context.abort(
            grpc.StatusCode.NOT_FOUND, "no such ☃: 100%\n", (("x-hint", "look"), ("grpc-status-details-bin", details))
        )

    server = grpcio_server(unary(handler))
    async with open_channel(server.address) as channel:
        with pytest.raises(RemoteError) as caught:
            await rpc(channel)(b"")
    assert caught.value.code is StatusCode.NOT_FOUND
    assert caught.value.message == "no such ☃: 100%\n"
    assert caught.value.trailing_metadata.get("x-hint") == "look"
    assert caught.value.status_details == details
    assert str(caught.value) == "NOT_FOUND: no such ☃: 100%\n [/t.S/M]"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_status_code(grpcio_server: MakeServer, code: grpc.StatusCode) -> None:
    async def handler(request: bytes, context: Any) -> bytes:
        await context.abort(code, "why")

    server = grpcio_server(unary(handler))
    async with open_channel(server.address) as channel:
        with pytest.raises(RemoteError) as caught:
            await rpc(channel)(b"")
    assert (caught.value.code.name, caught.value.code.value) == (code.name, code.value[0])


async def test_an_error_after_some_replies(grpcio_server: MakeServer) -> None:
    async def handler(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"
        await context.abort(grpc.StatusCode.DATA_LOSS, "then nothing")

    server = grpcio_server({"/t.S/M": grpc.unary_stream_rpc_method_handler(handler)})
    async with open_channel(server.address) as channel:
        async with channel.unary_stream("/t.S/M", same, same).open(b"") as call:
            assert [await call.receive(), await call.receive()] == [b"one", b"two"]
            for _ in range(2):  # and it stays so
                with pytest.raises(RemoteError, match="DATA_LOSS: then nothing"):
                    await call.receive()


async def test_a_handler_that_raises_and_a_method_that_is_not_there(grpcio_server: MakeServer) -> None:
    async def handler(request: bytes, context: Any) -> bytes:
        raise LookupError("oops")

    server = grpcio_server(unary(handler))
    async with open_channel(server.address) as channel:
        with pytest.raises(RemoteError, match=r"UNKNOWN: .*LookupError.*oops"):
            await rpc(channel)(b"")
        with pytest.raises(RemoteError, match=r"UNIMPLEMENTED: Method not found! \[/t.S/Other\]"):
            await rpc(channel, "/t.S/Other")(b"")


# --- deadlines and cancelling


async def test_the_server_sees_the_deadline_and_we_keep_it(grpcio_server: MakeServer) -> None:
    left: list[float] = []
    cancelled = threading.Event()

    async def handler(request: bytes, context: Any) -> bytes:
        left.append(context.time_remaining())
        try:
            return await asyncio.Future()
        finally:
            cancelled.set()

    server = grpcio_server(unary(handler))
    async with open_channel(server.address) as channel:
        with pytest.raises(DeadlineExceeded, match=r"0\.5 s passed while waiting for the server"):
            await rpc(channel)(b"", timeout=0.5)
        await trio.to_thread.run_sync(cancelled.wait)
    assert 0 < left[0] <= 0.5


async def test_a_server_that_finds_the_deadline_passed(grpcio_server: MakeServer) -> None:
    async def handler(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "mine too")

    server = grpcio_server(unary(handler))
    async with open_channel(server.address) as channel:
        with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED: mine too"):
            await rpc(channel)(b"", timeout=60)


async def test_a_cancelled_scope_cancels_the_handler(grpcio_server: MakeServer) -> None:
    began, cancelled = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    async def handler(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        token.run_sync_soon(began.set)
        try:
            async for request in requests:
                yield request
        finally:
            cancelled.set()

    server = grpcio_server(
        {"/t.S/S": grpc.stream_stream_rpc_method_handler(handler), "/t.S/M": grpc.unary_unary_rpc_method_handler(echo)}
    )
    async with open_channel(server.address) as channel:
        async with trio.open_nursery() as nursery:

            async def use() -> None:
                async with channel.stream_stream("/t.S/S", same, same).open() as call:
                    await call.receive()

            nursery.start_soon(use)
            await began.wait()
            nursery.cancel_scope.cancel()
        await trio.to_thread.run_sync(cancelled.wait)
        assert await rpc(channel)(b"alive") == b"alive"
        assert len(channel._caller.connector._current.streams) == 0


# --- sizes, windows, compression


async def test_eight_mebibytes_both_ways(grpcio_server: MakeServer) -> None:
    server = grpcio_server(unary(echo), UNLIMITED)
    async with open_channel(server.address, max_receive_message=len(BIG)) as channel:
        assert await rpc(channel)(BIG) == BIG


async def test_a_stream_of_eight_mebibytes_both_ways_at_once(grpcio_server: MakeServer) -> None:
    async def each(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    server = grpcio_server({"/t.S/M": grpc.stream_stream_rpc_method_handler(each)})
    chunks = [BIG[start : start + 50_000] for start in range(0, len(BIG), 50_000)]
    async with open_channel(server.address) as channel:
        async with channel.stream_stream("/t.S/M", same, same).open() as call, trio.open_nursery() as nursery:

            async def send() -> None:
                for chunk in chunks:
                    await call.send(chunk)
                await call.done_writing()

            nursery.start_soon(send)
            assert [message async for message in call] == chunks


async def test_calls_that_nobody_reads_do_not_block_others(grpcio_server: MakeServer) -> None:
    async def flood(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(200):
            yield number.to_bytes(2, "big") * 10_000  # 4 MB each call

    server = grpcio_server(
        {"/t.S/F": grpc.unary_stream_rpc_method_handler(flood), "/t.S/M": grpc.unary_unary_rpc_method_handler(echo)},
        UNLIMITED,
    )
    async with open_channel(server.address, max_receive_message=len(BIG)) as channel:
        method = channel.unary_stream("/t.S/F", same, same)
        async with method.open(b"") as one, method.open(b"") as two:
            assert await one.receive() == bytes(20_000)
            assert await rpc(channel)(BIG) == BIG
            for call, first in ((two, 0), (one, 1)):
                numbers = [int.from_bytes(message[:2], "big") async for message in call]
                assert numbers == list(range(first, 200))


async def test_limits_of_both_sides(grpcio_server: MakeServer) -> None:
    server = grpcio_server(unary(echo), [("grpc.max_receive_message_length", 1000)])
    async with open_channel(server.address, max_receive_message=500) as channel:
        assert await rpc(channel)(bytes(500)) == bytes(500)
        with pytest.raises(MessageTooLarge, match="501 bytes, more than the 500"):
            await rpc(channel)(bytes(501))
        with pytest.raises(RemoteError, match="RESOURCE_EXHAUSTED"):
            await rpc(channel)(bytes(2000))


@pytest.mark.parametrize("ours", [None, "gzip"])
@pytest.mark.parametrize("theirs", list(grpc.Compression))
async def test_compression(grpcio_server: MakeServer, ours: str | None, theirs: grpc.Compression) -> None:
    message = b"the same again and again " * 10_000
    server = grpcio_server(unary(echo), compression=theirs)
    async with open_channel(server.address, compression=ours) as channel:
        async with rpc(channel).open(message) as call:
            assert await call.reply() == message
            used = call._started.response._messages.encoding
    assert used == {0: None, 1: "deflate", 2: "gzip"}[theirs.value]


async def test_metadata_too_large_for_the_server(grpcio_server: MakeServer) -> None:
    server = grpcio_server(unary(echo), [("grpc.max_metadata_size", 2000), ("grpc.absolute_max_metadata_size", 2000)])
    async with open_channel(server.address) as channel:
        assert await rpc(channel)(b"ok") == b"ok"
        with pytest.raises(GrpcError, match="RESOURCE_EXHAUSTED: the call's metadata takes"):
            await rpc(channel)(b"", metadata={"x": "y" * 3000})
        assert await rpc(channel)(b"ok") == b"ok"
