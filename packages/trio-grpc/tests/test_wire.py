"""Calls against a scripted HTTP/2 server: what leaves, what is made of what comes, and what is cleaned up."""

import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from tulle_trio_grpc import (
    BadResponse,
    Call,
    Cancelled,
    Channel,
    ConnectionLost,
    DeadlineExceeded,
    GrpcError,
    MessageTooLarge,
    RemoteError,
    SerializationFailed,
    StatusCode,
    open_channel,
)

pytestmark = pytest.mark.trio
PATH = "/test.Service/Method"
OK = (("grpc-status", "0"),)


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def same(data: bytes) -> bytes:
    return bytes(data)


def channel_to(network: Any, **options: Any) -> Any:
    return open_channel("server:1", dial_with=network.dial, **options)


Streaming = AsyncIterator[tuple[Call[bytes, bytes], Any]]


@asynccontextmanager
async def streaming(network: Any, settings: Any = None, **options: Any) -> Streaming:
    """A bidirectional call on stream 1 and the peer."""
    async with channel_to(network, **options) as channel, trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def accept() -> None:
            peers.append(await network.accept(settings=settings))

        nursery.start_soon(accept)
        async with channel.stream_stream(PATH, same, same).open() as call:
            yield call, peers[0]
        nursery.cancel_scope.cancel()


async def answer(network: Any, *messages: bytes, trailers: Any = OK, settings: Any = None) -> Any:
    """Accept a connection and answer its first call; the peer."""
    peer = await network.accept(settings=settings)
    request = await peer.next(RequestReceived)
    await peer.next(StreamEnded)
    await peer.respond(request.stream_id, *messages, trailers=trailers)
    peer.request = dict(request.headers)
    return peer


async def test_what_a_unary_call_sends(network: Any, autojump_clock: Any) -> None:
    peers = []

    async def serve() -> None:
        peers.append(await answer(network, b"reply"))

    async with trio.open_nursery() as nursery, channel_to(network, authority="example") as channel:
        nursery.start_soon(serve)
        call = channel.unary_unary(PATH, str.encode, bytes.decode)
        assert await call("request", timeout=5, metadata=[("x-a", "1"), ("b-bin", b"\0\1")]) == "reply"
    headers = peers[0].request
    assert headers.pop("user-agent").startswith("grpc-python-tulle-trio/")
    assert headers == {
        ":method": "POST", ":scheme": "http", ":path": PATH, ":authority": "example",
        "grpc-timeout": "5000000u", "te": "trailers", "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,deflate,gzip", "x-a": "1", "b-bin": "AAE",
    }  # fmt: skip


async def test_one_message_after_the_other_both_ways(network: Any) -> None:
    async with streaming(network) as (call, peer):
        await call.send(b"one")
        assert (await peer.next(DataReceived)).data == frame(b"one")
        assert call.code is None
        await peer.respond(1, b"uno", trailers=None)
        assert await call.receive() == b"uno"
        await call.done_writing()
        await peer.next(StreamEnded, 1)
        peer.h2.send_headers(1, [("grpc-status", "0"), ("x-last", "z")], end_stream=True)
        await peer.flush()
        with pytest.raises(trio.EndOfChannel):
            await call.receive()
        assert call.trailing_metadata.get("x-last") == "z"
        assert call.code is StatusCode.OK
        with pytest.raises(trio.ClosedResourceError):
            await call.send(b"more")


async def test_gzip_when_asked_for(network: Any) -> None:
    async with streaming(network, compression="gzip") as (call, peer):
        await call.send(bytes(10_000))
        assert dict((await peer.next(RequestReceived)).headers)["grpc-encoding"] == "gzip"
        data = (await peer.next(DataReceived)).data
        assert data[0] == 1
        assert int.from_bytes(data[1:5], "big") == len(data) - 5 < 100
        assert gzip.decompress(data[5:]) == bytes(10_000)


async def test_metadata_is_not_written_to_the_log(network: Any, caplog: pytest.LogCaptureFixture) -> None:
    """hpack logs every field at DEBUG: tokens must not get there."""
    with caplog.at_level(logging.DEBUG):
        async with trio.open_nursery() as nursery, channel_to(network) as channel:
            nursery.start_soon(answer, network, b"")
            await channel.unary_unary(PATH, same, same)(b"", metadata={"authorization": "Bearer s3cr3t"})
    assert caplog.records
    assert "s3cr3t" not in caplog.text


# --- flow control


async def test_a_large_message_crosses_small_windows_of_ours(network: Any) -> None:
    message = bytes(range(256)) * 4096  # 1 MiB through 64 KiB
    async with streaming(network) as (call, peer):

        async def serve() -> None:
            await peer.next(RequestReceived)
            await peer.respond(1, trailers=None)
            left = frame(message)
            while left:
                room = min(peer.h2.local_flow_control_window(1), 16_384)
                if room:
                    await peer.send(1, left[:room])
                    left = left[room:]
                else:
                    assert await peer.read()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            assert await call.receive() == message


async def test_a_server_that_gives_no_window_holds_the_sender_back_and_nobody_else(network: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        rpc = channel.stream_stream(PATH, same, same)
        peers = []

        async def serve() -> None:
            peers.append(await network.accept(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}))
            await peers[0].end()

        sent = []

        async def send(call: Call[bytes, bytes], size: int) -> None:
            await call.send(bytes(size))
            sent.append(size)

        nursery.start_soon(serve)
        async with rpc.open() as slow, rpc.open() as quick:
            nursery.start_soon(send, slow, 5000)
            await trio.testing.wait_all_tasks_blocked()
            assert sent == []
            await send(quick, 500)
            assert sent == [500]
            peers[0].h2.increment_flow_control_window(5000, 1)
            await peers[0].flush()
            await trio.testing.wait_all_tasks_blocked()
            assert sent == [500, 5000]
        nursery.cancel_scope.cancel()


async def test_a_call_that_nobody_reads_holds_its_sender_back_and_nobody_else(network: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        rpc = channel.stream_stream(PATH, same, same)
        peers: list[Any] = []

        async def serve() -> None:
            peers.append(await network.accept())

        nursery.start_soon(serve)
        async with rpc.open() as slow, rpc.open() as quick:
            peer = peers[0]
            await peer.next(RequestReceived, 3)
            for stream_id in (1, 3):
                await peer.respond(stream_id, trailers=None)

            async def fill(stream_id: int) -> int:
                """Whole messages of 1000 bytes until the window is shut."""
                count = 0
                while peer.h2.local_flow_control_window(stream_id) >= 1005:
                    await peer.send(stream_id, frame(bytes(1000)))
                    count += 1
                return count

            nursery.start_soon(peer.end)  # takes the window updates
            settle = trio.testing.wait_all_tasks_blocked
            slow_messages = await fill(1)
            assert slow_messages == 65
            await settle()
            assert peer.h2.local_flow_control_window(1) < 1005, "the window of an unread stream was given back"
            for _ in range(40):  # 2.6 MB beside it
                count = await fill(3)
                assert count
                for _ in range(count):
                    await quick.receive()
                await settle()
            for _ in range(slow_messages):
                await slow.receive()
            await settle()
            assert peer.h2.local_flow_control_window(1) > 32_767
            nursery.cancel_scope.cancel()


# --- ends


async def test_leaving_resets_the_stream_and_the_connection_lives(network: Any) -> None:
    async with streaming(network) as (call, peer):
        await call.send(b"x")
        await peer.next(DataReceived)
    assert (await peer.next(StreamReset)).error_code == ErrorCodes.CANCEL


@pytest.mark.parametrize("doing", ["receive", "send", "initial_metadata", "nothing"])
async def test_a_cancelled_scope_resets_the_stream(network: Any, doing: str) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def serve() -> None:
            peers.append(await network.accept(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}))

        nursery.start_soon(serve)
        scope = trio.CancelScope()

        async def use() -> None:
            with scope:
                async with channel.stream_stream(PATH, same, same).open() as call:
                    match doing:
                        case "receive":
                            await call.receive()
                        case "send":
                            await call.send(bytes(100))
                        case "initial_metadata":
                            await call.initial_metadata()
                        case _:
                            await trio.sleep_forever()

        nursery.start_soon(use)
        await trio.testing.wait_all_tasks_blocked()
        await peers[0].next(RequestReceived)
        scope.cancel()
        assert (await peers[0].next(StreamReset)).error_code == ErrorCodes.CANCEL
        # The connection is unharmed, and nothing of the call is left on it.
        connection = channel._caller.connector._current
        assert len(connection.streams) == 0
        assert not connection._busy.is_set()

        async def again() -> None:
            request = await peers[0].next(RequestReceived)
            await peers[0].respond(request.stream_id, b"fine")

        nursery.start_soon(again)
        assert await channel.unary_unary(PATH, same, same)(b"") == b"fine"


async def test_cancel_while_connecting_leaves_nothing(network: Any) -> None:
    async with channel_to(network) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.unary_unary(PATH, same, same), b"never sent")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        peer = await network.accept()  # connecting goes on, for the next call
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.unary_unary(PATH, same, same), b"sent")
            assert (await peer.next(DataReceived)).data == frame(b"sent")
            await peer.respond(1, b"")
        assert len(network.dialled_at) == 1


async def test_call_cancel_wakes_the_receiver(network: Any) -> None:
    async with streaming(network) as (call, peer):
        await peer.next(RequestReceived)
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(Cancelled, match="cancelled here"):
                    await call.receive()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            call.cancel()
        assert (await peer.next(StreamReset)).error_code == ErrorCodes.CANCEL
        assert call.code is StatusCode.CANCELLED


async def test_a_server_that_answers_early_gets_no_error_reset(network: Any) -> None:
    """PROTOCOL-HTTP2.md, "Early Server Closure": RST_STREAM with NO_ERROR."""
    async with streaming(network) as (call, peer):
        await peer.next(RequestReceived)
        await peer.respond(1, b"enough")
        assert await call.receive() == b"enough"
        with pytest.raises(trio.BrokenResourceError, match="ended the call with OK"):
            await call.send(bytes(100_000))
        await call.done_writing()
        assert (await peer.next(StreamReset)).error_code == ErrorCodes.NO_ERROR
        assert [message async for message in call] == []


async def test_an_error_reaches_a_sender_that_waits_for_window(network: Any) -> None:
    async with streaming(network, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}) as (call, peer):
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(RemoteError, match="RESOURCE_EXHAUSTED: full"):
                    await call.send(bytes(100))

            nursery.start_soon(send)
            await peer.next(DataReceived)
            await peer.respond(1, trailers=[("grpc-status", "8"), ("grpc-message", "full")])


@pytest.mark.parametrize("messages", [(), (b"one", b"two")])
async def test_one_reply_means_one(network: Any, messages: tuple[bytes, ...]) -> None:
    async with trio.open_nursery() as nursery, channel_to(network) as channel:
        nursery.start_soon(answer, network, *messages)
        with pytest.raises(BadResponse, match="one reply was expected") as caught:
            await channel.unary_unary(PATH, same, same)(b"")
        assert caught.value.code is StatusCode.UNIMPLEMENTED


async def test_an_error_counts_more_than_its_message(network: Any) -> None:
    async with trio.open_nursery() as nursery, channel_to(network) as channel:
        trailers = [("grpc-status", "13"), ("grpc-message", "after all"), ("x-why", "z")]

        async def serve() -> None:
            await answer(network, b"reply", trailers=trailers)

        nursery.start_soon(serve)
        with pytest.raises(RemoteError, match=rf"^INTERNAL: after all \[{PATH}\]$") as caught:
            await channel.unary_unary(PATH, same, same)(b"")
        assert caught.value.trailing_metadata == (("x-why", "z"),)


async def test_too_large_a_reply_is_refused_and_the_stream_reset(network: Any) -> None:
    async with streaming(network, max_receive_message=10) as (call, peer):
        await peer.next(RequestReceived)
        await peer.respond(1, bytes(10), bytes(11), trailers=None)
        assert await call.receive() == bytes(10)
        with pytest.raises(MessageTooLarge, match="11 bytes"):
            await call.receive()
        assert (await peer.next(StreamReset)).error_code == ErrorCodes.CANCEL


async def test_too_large_a_request_is_not_sent(network: Any) -> None:
    async with streaming(network, max_send_message=10) as (call, peer):
        with pytest.raises(MessageTooLarge, match="11 bytes"):
            await call.send(bytes(11))
        await peer.next(StreamReset)
        assert not [event for event in peer.seen if isinstance(event, DataReceived)]


async def test_serializers_that_raise(network: Any) -> None:
    def broken(value: bytes) -> bytes:
        raise LookupError("no such field")

    async with channel_to(network) as channel:
        with pytest.raises(SerializationFailed, match="request serializer raised LookupError") as caught:
            await channel.unary_unary(PATH, broken, same)(b"")
        assert isinstance(caught.value.__cause__, LookupError)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, network, b"reply")
            with pytest.raises(SerializationFailed, match="response deserializer raised LookupError"):
                await channel.unary_unary(PATH, same, broken)(b"")


async def test_a_server_that_speaks_http1(network: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:

        async def serve() -> None:
            peer = await network.accept(start=False)
            await peer.stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        nursery.start_soon(serve)
        with pytest.raises(GrpcError, match=r"UNAVAILABLE: server:1: the server answered in HTTP/1"):
            await channel.unary_unary(PATH, same, same)(b"")


async def test_a_proxys_503(network: Any) -> None:
    async with trio.open_nursery() as nursery, channel_to(network) as channel:

        async def serve() -> None:
            peer = await network.accept()
            await peer.next(StreamEnded)
            peer.h2.send_headers(1, [(":status", "503"), ("content-type", "text/plain")])
            peer.h2.send_data(1, b"upstream is away", end_stream=True)
            await peer.flush()

        nursery.start_soon(serve)
        with pytest.raises(BadResponse, match=r"UNAVAILABLE: .* HTTP status 503"):
            await channel.unary_unary(PATH, same, same)(b"")


async def test_two_senders_at_once_are_refused(network: Any) -> None:
    async with streaming(network, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}) as (call, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.send, bytes(100))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await call.send(b"other")
            nursery.cancel_scope.cancel()
        with pytest.raises(trio.ClosedResourceError):  # torn by the cancelled send
            await call.send(b"other")


# --- deadlines


@pytest.mark.parametrize("doing", ["receive", "send"])
async def test_a_deadline_ends_the_call_here_and_there(network: Any, autojump_clock: Any, doing: str) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def serve() -> None:
            peers.append(await network.accept(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}))

        nursery.start_soon(serve)
        async with channel.stream_stream(PATH, same, same).open(timeout=3) as call:
            await trio.sleep(2)
            what = "waiting for the server" if doing == "receive" else "sending"
            with pytest.raises(DeadlineExceeded, match=f"DEADLINE_EXCEEDED: 3 s passed while {what}") as caught:
                await (call.receive() if doing == "receive" else call.send(bytes(100)))
            assert trio.current_time() == pytest.approx(3)
            assert caught.value.path == PATH
            assert (await peers[0].next(StreamReset)).error_code == ErrorCodes.CANCEL


async def test_the_deadline_that_is_sent_is_what_is_left(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        seen = []

        async def serve() -> None:
            await trio.sleep(2)  # connecting takes its time
            peer = await answer(network, b"late")
            seen.append(peer.request["grpc-timeout"])

        nursery.start_soon(serve)
        assert await channel.unary_unary(PATH, same, same)(b"", timeout=10) == b"late"
    assert seen == ["8000000u"]


async def test_a_server_that_cancels_for_the_deadline_is_our_deadline(network: Any, mock_clock: Any) -> None:
    """Both happen before the waiting task runs: the server's CANCEL has arrived, and the deadline passes."""
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(network.accept)
        async with channel.stream_stream(PATH, same, same).open(timeout=3) as call, trio.open_nursery() as waiting:

            async def receive() -> None:
                with pytest.raises(DeadlineExceeded):
                    await call.receive()

            waiting.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            streams = channel._caller.connector._current.streams
            streams.handle(StreamReset(stream_id=1, error_code=ErrorCodes.CANCEL))
            mock_clock.jump(3)


async def test_a_deadline_of_zero_sends_nothing(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network) as channel:
        with pytest.raises(DeadlineExceeded, match="while connecting"):
            await channel.unary_unary(PATH, same, same)(b"", timeout=0)


# --- the channel


async def test_errors_of_the_body_are_not_wrapped_into_groups(network: Any) -> None:
    with pytest.raises(LookupError):
        async with channel_to(network):
            raise LookupError


async def test_leaving_the_channel_ends_calls_of_other_tasks(network: Any) -> None:
    caught: list[GrpcError] = []

    async def call_on(channel: Channel) -> None:
        try:
            await channel.unary_unary(PATH, same, same)(b"")
        except GrpcError as error:
            caught.append(error)

    async with trio.open_nursery() as nursery:
        async with channel_to(network) as channel:
            nursery.start_soon(call_on, channel)
            peer = await network.accept()
            await peer.next(StreamEnded)
        await peer.end()
    assert isinstance(caught[0], ConnectionLost)
    assert "the channel was closed" in caught[0].message
    with pytest.raises(Cancelled, match="is closed"):
        await channel.unary_unary(PATH, same, same)(b"")


async def test_calls_wait_for_their_turn_under_the_servers_limit(network: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        done: list[bytes] = []

        async def call(name: bytes) -> None:
            done.append(await channel.unary_unary(PATH, same, same)(name))

        for name in (b"a", b"b", b"c"):
            nursery.start_soon(call, name)
        peer = await network.accept(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        for turn in (1, 3, 5):
            await peer.next(StreamEnded, turn)
            assert not [event for event in peer.seen if isinstance(event, RequestReceived) and event.stream_id > turn]
            await peer.respond(turn, b"%d" % turn)
    assert sorted(done) == [b"1", b"3", b"5"]
