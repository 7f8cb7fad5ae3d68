"""Lazy connecting, failures and backoff, wait_for_ready, GOAWAY, keepalive: on trio's mock clock, without sockets."""

from typing import Any

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, PingReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes
from hyperframe.frame import PingFrame
from tulle_trio_grpc import (
    Backoff,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    GrpcError,
    Keepalive,
    RemoteError,
    StatusCode,
    open_channel,
)

pytestmark = pytest.mark.trio
PATH = "/test.Service/Method"


def same(data: bytes) -> bytes:
    return bytes(data)


def channel_to(network: Any, **options: Any) -> Any:
    return open_channel("server:1", dial_with=network.dial, **options)


async def serve_one(network: Any, message: bytes = b"reply") -> Any:
    peer = await network.accept()
    await answer_next(peer, message)
    return peer


async def answer_next(peer: Any, message: bytes = b"reply") -> None:
    ended = await peer.next(StreamEnded)
    await peer.respond(ended.stream_id, message)


async def test_nothing_is_connected_before_the_first_call(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        await trio.testing.wait_all_tasks_blocked()
        assert network.dialled_at == []
        nursery.start_soon(serve_one, network)
        await channel.unary_unary(PATH, same, same)(b"")
        assert len(network.dialled_at) == 1


async def test_many_first_calls_share_one_attempt(network: Any) -> None:
    async with channel_to(network) as channel:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(channel.unary_unary(PATH, same, same), b"")
            peer = await network.accept()
            for _ in range(5):
                await answer_next(peer)
        assert len(network.dialled_at) == 1


async def test_a_failure_fails_calls_at_once_until_the_backoff_is_over(network: Any, autojump_clock: Any) -> None:
    network.failures = [OSError("connection refused")]
    async with channel_to(network, backoff=Backoff(4, 2, 60), random=lambda: 0.5) as channel:
        rpc = channel.unary_unary(PATH, same, same)
        with pytest.raises(ConnectFailed, match="UNAVAILABLE: connection refused") as caught:
            await rpc(b"")
        assert caught.value.not_processed
        await trio.sleep(1.9)  # half of 4 is 2
        with pytest.raises(ConnectFailed, match=r"connection refused \(no new attempt before the backoff"):
            await rpc(b"")
        assert network.dialled_at == [0]
        await trio.sleep(0.2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_one, network)
            assert await rpc(b"") == b"reply"
        assert network.dialled_at == [0, 2.1]


async def test_a_pause_of_zero_does_not_make_a_quick_call_try_on(network: Any, autojump_clock: Any) -> None:
    network.failures = [OSError("refused")] * 2
    async with channel_to(network, random=lambda: 0.0) as channel:
        for count in (1, 2):
            with pytest.raises(ConnectFailed, match="refused"):
                await channel.unary_unary(PATH, same, same)(b"")
            assert len(network.dialled_at) == count


async def test_wait_for_ready_tries_on_with_jittered_backoff(network: Any, autojump_clock: Any) -> None:
    network.failures = [OSError("refused")] * 5
    jitter = iter([0.5, 0.25, 0.0, 0.75, 0.5])
    async with channel_to(network, backoff=Backoff(1, 2, 5), random=lambda: next(jitter)) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_one, network)
            assert await channel.unary_unary(PATH, same, same)(b"", wait_for_ready=True) == b"reply"
    # bounds 1 2 4 5 5, times the jitter
    assert network.dialled_at == pytest.approx([0, 0.5, 1.0, 1.0, 4.75, 7.25])


async def test_wait_for_ready_still_has_a_deadline_which_says_why(network: Any, autojump_clock: Any) -> None:
    network.failures = [OSError("no route")] * 100
    async with channel_to(network, wait_for_ready=True) as channel:
        with pytest.raises(DeadlineExceeded, match="9 s passed while connecting; last attempt to connect: no route"):
            await channel.unary_unary(PATH, same, same)(b"", timeout=9)
    assert trio.current_time() == pytest.approx(9)


async def test_a_quick_call_fails_beside_one_that_waits(network: Any, autojump_clock: Any) -> None:
    network.failures = [OSError("refused")] * 2
    async with channel_to(network, backoff=Backoff(4, 2, 60), random=lambda: 0.5) as channel:
        rpc = channel.unary_unary(PATH, same, same)
        async with trio.open_nursery() as nursery:

            async def patient() -> None:
                assert await rpc(b"", wait_for_ready=True) == b"reply"

            nursery.start_soon(patient)
            nursery.start_soon(serve_one, network)
            await trio.sleep(1)
            with pytest.raises(ConnectFailed, match="no new attempt"):
                await rpc(b"")
            assert trio.current_time() == 1


@pytest.mark.parametrize("silent", ["dial", "settings"])
async def test_connecting_takes_no_longer_than_its_timeout(network: Any, autojump_clock: Any, silent: str) -> None:
    async def dial() -> Any:
        if silent == "dial":
            await trio.sleep_forever()
        return await network.dial()

    async with open_channel("server:1", dial_with=dial, connect_timeout=7) as channel:
        with pytest.raises(ConnectFailed, match=r"connecting to server:1 took longer than 7 s"):
            await channel.unary_unary(PATH, same, same)(b"")
        assert trio.current_time() == pytest.approx(7)
        if silent == "settings":
            peer = await network.accept(start=False)
            await peer.end()  # closed, not left open


async def test_a_function_of_the_callers_that_raises_is_a_failure_like_others(autojump_clock: Any) -> None:
    async def dial() -> Any:
        raise LookupError("no such certificate")

    async with open_channel("server:1", dial_with=dial) as channel:
        with pytest.raises(ConnectFailed, match="connecting to server:1 raised LookupError"):
            await channel.unary_unary(PATH, same, same)(b"")


async def test_a_mistake_of_our_own_costs_the_connection_only(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network) as channel:
        rpc = channel.unary_unary(PATH, same, same)
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                peer = await network.accept()
                await peer.next(StreamEnded)
                channel._caller.connector._current.streams.handle = None  # "not callable"
                await peer.respond(1, b"reply")

            nursery.start_soon(serve)
            with pytest.raises(ConnectionLost, match="an error of the client's own"):
                await rpc(b"")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_one, network)
            assert await rpc(b"") == b"reply"


async def test_success_forgets_earlier_failures(network: Any, autojump_clock: Any) -> None:
    network.failures = [OSError("a"), OSError("b"), OSError("c")]
    async with channel_to(network, backoff=Backoff(1, 2, 60), random=lambda: 1.0, wait_for_ready=True) as channel:
        rpc = channel.unary_unary(PATH, same, same)
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_one, network)
                await rpc(b"")
            await channel._caller.connector._current.close()
            network.failures = [OSError("d")]
    assert network.dialled_at == pytest.approx([0, 1, 3, 7, 7, 8])


async def test_a_server_that_throws_us_out_at_once_is_not_asked_in_circles(network: Any, autojump_clock: Any) -> None:
    async def rude() -> None:
        while True:
            peer = await network.accept()
            await peer.goaway(0)
            await peer.stream.aclose()

    async with channel_to(network, backoff=Backoff(1, 2, 60), random=lambda: 1.0, wait_for_ready=True) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rude)
            while trio.current_time() < 30:  # a caller without patience of its own
                with pytest.raises(GrpcError):
                    await channel.unary_unary(PATH, same, same)(b"", timeout=30)
            nursery.cancel_scope.cancel()
    assert network.dialled_at[:5] == pytest.approx([0, 1, 3, 7, 15])
    assert len(network.dialled_at) <= 6


# --- losing the connection


async def test_a_lost_connection_fails_its_calls_and_the_next_reconnects(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network) as channel:
        rpc = channel.stream_stream(PATH, same, same)
        async with trio.open_nursery() as nursery:

            async def break_off() -> None:
                peer = await network.accept()
                await peer.next(RequestReceived)
                await peer.stream.aclose()

            nursery.start_soon(break_off)
            async with rpc.open() as call:
                with pytest.raises(ConnectionLost, match="server:1: the server closed the connection") as caught:
                    await call.receive()
                assert caught.value.code is StatusCode.UNAVAILABLE
                assert not caught.value.not_processed
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_one, network)
            assert await channel.unary_unary(PATH, same, same)(b"") == b"reply"


async def test_goaway_drains_the_old_connection_while_new_calls_take_another(network: Any) -> None:
    async with channel_to(network) as channel:
        stream, unary = channel.stream_stream(PATH, same, same), channel.unary_unary(PATH, same, same)
        async with trio.open_nursery() as nursery:
            peers: list[Any] = []

            async def accept() -> None:
                peers.append(await network.accept())

            nursery.start_soon(accept)
            async with stream.open() as call:
                old = peers[0]
                await old.next(RequestReceived)
                await old.goaway(2**31 - 1)  # grpc's first, graceful one
                await old.goaway(1)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(serve_one, network)
                assert await unary(b"") == b"reply"
                await old.respond(1, b"still here")
                assert await call.receive() == b"still here"
                with pytest.raises(trio.EndOfChannel):
                    await call.receive()
            await old.end()  # drained, so the client closes it


async def test_a_call_that_waits_for_its_turn_leaves_with_goaway(network: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def accept() -> None:
            peers.append(await network.accept(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1}))

        nursery.start_soon(accept)
        async with channel.stream_stream(PATH, same, same).open() as first, trio.open_nursery() as second:
            await peers[0].next(RequestReceived)
            second.start_soon(channel.unary_unary(PATH, same, same), b"")
            await trio.testing.wait_all_tasks_blocked()
            await peers[0].goaway(1)
            await serve_one(network)
            await peers[0].respond(1, b"first")
            assert await first.receive() == b"first"


@pytest.mark.parametrize("refusal", ["goaway", "refused_stream"])
async def test_a_request_the_server_never_looked_at_is_sent_once_more(
    network: Any, autojump_clock: Any, refusal: str
) -> None:
    async def refuse(peer: Any) -> None:
        ended = await peer.next(StreamEnded)
        if refusal == "goaway":
            await peer.goaway(0)
        else:
            peer.h2.reset_stream(ended.stream_id, ErrorCodes.REFUSED_STREAM)
            await peer.flush()

    async def serve() -> None:
        peer = await network.accept()
        await refuse(peer)
        if refusal == "goaway":
            await peer.end()
            peer = await network.accept()
        await answer_next(peer, b"second time")

    async with channel_to(network) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            assert await channel.unary_unary(PATH, same, same)(b"") == b"second time"

    async def refuse_always() -> None:
        while True:
            peer = await network.accept()
            await refuse(peer)
            if refusal == "refused_stream":
                await refuse(peer)

    async with channel_to(network) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse_always)
            with pytest.raises((ConnectionLost, RemoteError)) as caught:
                await channel.unary_unary(PATH, same, same)(b"")
            assert caught.value.not_processed
            nursery.cancel_scope.cancel()


async def test_a_stream_of_requests_is_not_repeated_but_said_to_be_safe(network: Any) -> None:
    async with channel_to(network) as channel, trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def accept() -> None:
            peers.append(await network.accept())

        nursery.start_soon(accept)
        async with channel.stream_stream(PATH, same, same).open() as call:
            await call.send(b"x")
            await peers[0].goaway(0, ErrorCodes.NO_ERROR, b"restarting")
            with pytest.raises(ConnectionLost, match=r"said goodbye \(NO_ERROR, restarting\)") as caught:
                await call.receive()
            assert caught.value.not_processed


# --- keepalive


async def test_a_mute_server_is_given_up(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network, keepalive=Keepalive(interval=30, timeout=10)) as channel:
        async with trio.open_nursery() as nursery:
            peers: list[Any] = []

            async def accept() -> None:
                peers.append(await network.accept())
                await peers[0].next(RequestReceived)

            nursery.start_soon(accept)
            with pytest.raises(ConnectionLost, match="no answer to a keepalive ping for 10 s"):
                await channel.unary_unary(PATH, same, same)(b"")
            assert trio.current_time() == pytest.approx(40)


async def test_a_server_that_answers_pings_keeps_its_quiet_call(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network, keepalive=Keepalive(interval=30, timeout=10)) as channel:
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                peer = await network.accept()
                for _ in range(5):
                    await peer.next(PingReceived)
                assert trio.current_time() == pytest.approx(150)
                await peer.respond(1, b"at last")

            nursery.start_soon(serve)
            assert await channel.unary_unary(PATH, same, same)(b"") == b"at last"


async def test_no_pings_without_calls_unless_asked_for(network: Any, autojump_clock: Any) -> None:
    for without_calls, expected in ((False, 0), (True, 3)):
        keepalive = Keepalive(interval=30, timeout=10, without_calls=without_calls)
        async with channel_to(network, keepalive=keepalive) as channel, trio.open_nursery() as nursery:
            peers: list[Any] = []

            async def serve(peers: list[Any] = peers) -> None:
                peers.append(await serve_one(network))
                await peers[0].end()

            nursery.start_soon(serve)
            await channel.unary_unary(PATH, same, same)(b"")
            await trio.sleep(100)
            assert sum(isinstance(event, PingReceived) for event in peers[0].seen) == expected
            nursery.cancel_scope.cancel()


async def test_told_too_many_pings_it_halves_them(network: Any, autojump_clock: Any) -> None:
    async with channel_to(network, keepalive=Keepalive(interval=30, timeout=10)) as channel:
        for interval in (30, 60, 120):
            async with trio.open_nursery() as nursery:

                async def serve(interval: float = interval) -> None:
                    peer = await network.accept()
                    await peer.next(RequestReceived)
                    began = trio.current_time()
                    await peer.next(PingReceived)
                    assert trio.current_time() - began == pytest.approx(interval)
                    await peer.goaway(1, ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")
                    await peer.stream.aclose()

                nursery.start_soon(serve)
                async with channel.stream_stream(PATH, same, same).open() as call:
                    with pytest.raises(ConnectionLost):
                        await call.receive()


async def test_closing_says_goodbye(network: Any) -> None:
    async with trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def serve() -> None:
            peers.append(await serve_one(network))

        async with channel_to(network) as channel:
            nursery.start_soon(serve)
            await channel.unary_unary(PATH, same, same)(b"")
        await peers[0].next(ConnectionTerminated)
        await peers[0].end()


async def test_what_still_comes_after_the_goodbye_is_ignored(network: Any) -> None:
    """h2 by itself would take it for an error, and say so to the server."""
    async with trio.open_nursery() as nursery:
        peers: list[Any] = []

        async def serve() -> None:
            peers.append(await serve_one(network))

        async with channel_to(network) as channel:
            nursery.start_soon(serve)
            await channel.unary_unary(PATH, same, same)(b"")
            connection = channel._caller.connector._current
            assert connection is not None
            goodbye = connection._session.say_goodbye

            def say_goodbye() -> None:
                goodbye()
                incoming.put_data(PingFrame(0, b"12345678").serialize())

            connection._session.say_goodbye = say_goodbye
            incoming = connection._transport.receive_stream
        await peers[0].end()
    assert [event.error_code for event in peers[0].seen if isinstance(event, ConnectionTerminated)] == [0]


async def test_closing_does_not_wait_for_a_server_that_does_not_read(autojump_clock: Any) -> None:
    async def dial() -> Any:
        ours, theirs = trio.testing.lockstep_stream_pair()
        server.append(theirs)
        return ours

    server: list[Any] = []
    async with open_channel("server:1", dial_with=dial, connect_timeout=100) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(channel.unary_unary(PATH, same, same), b"")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert trio.current_time() <= 1.1
