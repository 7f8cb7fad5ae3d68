"""Against grpcio's own server: TLS, unix sockets, IPv6, restarts, graceful shutdown, and its view of our pings."""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trio
from tulle_trio_grpc import (
    Backoff,
    Channel,
    ConnectFailed,
    GrpcError,
    Keepalive,
    StatusCode,
    open_channel,
)

pytestmark = pytest.mark.trio
MakeServer = Callable[..., Any]
QUICK = Backoff(0.001, 2, 0.01)


def same(data: bytes) -> bytes:
    return bytes(data)


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def echo_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


METHODS = {
    "/t.S/M": grpc.unary_unary_rpc_method_handler(echo),
    "/t.S/S": grpc.stream_stream_rpc_method_handler(echo_stream),
}


def rpc(channel: Channel) -> Any:
    return channel.unary_unary("/t.S/M", same, same)


def stream(channel: Channel) -> Any:
    return channel.stream_stream("/t.S/S", same, same)


# --- where to


async def test_a_unix_socket(grpcio_server: MakeServer, tmp_path: Path) -> None:
    server = grpcio_server(METHODS, address=f"unix:{tmp_path}/s")
    async with open_channel(server.address) as channel:
        assert await rpc(channel)(b"x") == b"x"


async def test_ipv6_and_names(grpcio_server: MakeServer) -> None:
    server = grpcio_server(METHODS, address="[::]:0")
    port = server.address.rpartition(":")[2]
    for address in (f"[::1]:{port}", f"localhost:{port}", f"127.0.0.1:{port}"):
        async with open_channel(address) as channel:
            assert await rpc(channel)(b"x") == b"x"


async def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for where, why in (
            (address, f"cannot connect to {address}: Connection refused"),
            (f"unix:{tmp_path}/none", f"cannot connect to unix:{tmp_path}/none: No such file or directory"),
            ("unix:/" + "x" * 200, "cannot connect to unix:/x+: "),
            ("no-such-host.invalid:1", "cannot connect to no-such-host.invalid:1: "),
        ):
            async with open_channel(where) as channel:
                with pytest.raises(ConnectFailed, match=why):
                    await rpc(channel)(b"")


# --- TLS


def secure(certificates: Any, **options: Any) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(certificates.key.read_bytes(), certificates.chain.read_bytes())],
        root_certificates=certificates.ca.read_bytes(),
        **options,
    )


async def test_tls(grpcio_server: MakeServer, certificates: Any) -> None:
    server = grpcio_server(METHODS, credentials=secure(certificates))
    big = os.urandom(1_000_000)
    async with open_channel(server.address, ssl_context=certificates.client_context()) as channel:
        assert await rpc(channel)(big) == big
        async with stream(channel).open() as call:
            await call.send(b"x")
            assert await call.receive() == b"x"


async def test_mutual_tls_with_a_context_made_at_each_connect(grpcio_server: MakeServer, certificates: Any) -> None:
    server = grpcio_server(METHODS, credentials=secure(certificates, require_client_auth=True))
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        made.append(certificates.client_context())
        made[-1].load_cert_chain(certificates.chain, certificates.key)
        return made[-1]

    async with open_channel(server.address, ssl_context=context, wait_for_ready=True, backoff=QUICK) as channel:
        assert await rpc(channel)(b"x") == b"x"
        assert len(made) == 1
        await trio.to_thread.run_sync(server.stop)
        await trio.to_thread.run_sync(server.start)
        assert await rpc(channel)(b"y") == b"y"
        assert len(made) > 1


async def test_tls_that_fails_says_why(grpcio_server: MakeServer, certificates: Any) -> None:
    server = grpcio_server(METHODS, credentials=secure(certificates))
    plain = grpcio_server(METHODS)
    context = certificates.client_context()
    for address, options, why in (
        (server.address, {"ssl_context": ssl.create_default_context()}, "failed: unable to get local issuer"),
        (server.address, {"ssl_context": context, "server_hostname": "other"}, "as 'other' failed: Hostname mismatch"),
        (plain.address, {"ssl_context": context}, "TLS handshake .* failed"),
        (server.address, {}, "with or without TLS|in TLS|connection broke"),
    ):
        async with open_channel(address, **options) as channel:
            with pytest.raises(ConnectFailed, match=why):
                await rpc(channel)(b"")


async def test_a_tls_server_without_http2(certificates: Any) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.chain, certificates.key)  # no ALPN

    async def serve(stream: trio.SSLStream[Any]) -> None:
        try:
            await stream.receive_some()
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_ssl_over_tcp, serve, 0, context)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        async with open_channel(f"localhost:{port}", ssl_context=certificates.client_context()) as channel:
            with pytest.raises(ConnectFailed, match="does not offer HTTP/2 over TLS"):
                await rpc(channel)(b"")
        nursery.cancel_scope.cancel()


async def test_a_failed_handshake_closes_the_socket(certificates: Any) -> None:
    closed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"not TLS at all\r\n")
        async for _ in stream:
            pass
        closed.set()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        async with open_channel(f"127.0.0.1:{port}", ssl_context=certificates.client_context()) as channel:
            with pytest.raises(ConnectFailed, match="TLS handshake") as caught:
                await rpc(channel)(b"")
            await closed.wait()
            assert caught.value.__traceback__  # it keeps the frames alive: no garbage collector closed the socket
        nursery.cancel_scope.cancel()


# --- restarts


async def test_a_restarted_server_is_found_again(grpcio_server: MakeServer) -> None:
    server = grpcio_server(METHODS)
    async with open_channel(server.address, backoff=QUICK) as channel:
        for _ in range(3):
            async with stream(channel).open(wait_for_ready=True) as call:
                await call.send(b"x")
                assert await call.receive() == b"x"
                await trio.to_thread.run_sync(server.stop)
                with pytest.raises(GrpcError) as caught:
                    await call.receive()
                assert caught.value.code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
            with pytest.raises(ConnectFailed):
                await rpc(channel)(b"")
            await trio.to_thread.run_sync(server.start)
            assert await rpc(channel)(b"again", wait_for_ready=True) == b"again"


async def test_a_call_that_waits_is_served_when_the_server_comes(grpcio_server: MakeServer) -> None:
    server = grpcio_server(METHODS)
    server.stop()
    async with open_channel(server.address, backoff=QUICK, wait_for_ready=True) as channel:
        replies: list[bytes] = []

        async def call() -> None:
            replies.append(await rpc(channel)(b"patience"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            with trio.fail_after(30):
                while channel._caller.connector.last_failure is None:  # until it has failed at least once
                    await trio.lowlevel.checkpoint()
            await trio.to_thread.run_sync(server.start)
        assert replies == [b"patience"]


async def test_a_graceful_stop_lets_the_open_call_finish(grpcio_server: MakeServer) -> None:
    server = grpcio_server(METHODS)
    async with open_channel(server.address) as channel:
        async with stream(channel).open() as call, trio.open_nursery() as nursery:
            await call.send(b"before")
            assert await call.receive() == b"before"
            connection = channel._caller.connector._current
            nursery.start_soon(trio.to_thread.run_sync, server.stop, 60)  # GOAWAY, then it waits for us
            with trio.fail_after(30):
                while connection.usable:
                    await trio.lowlevel.checkpoint()
            await call.send(b"after")
            assert await call.receive() == b"after"
            with pytest.raises(ConnectFailed):  # new calls no longer go there, and nobody else listens
                await rpc(channel)(b"")
            await call.done_writing()
            with pytest.raises(trio.EndOfChannel):
                await call.receive()
        await connection._closed.wait()


async def test_short_lived_connections_of_a_server_are_not_noticed(grpcio_server: MakeServer) -> None:
    """max_connection_age: GOAWAY again and again, in the middle of traffic. No call may fail."""
    server = grpcio_server(METHODS, [("grpc.max_connection_age_ms", 50), ("grpc.max_connection_age_grace_ms", 60_000)])
    connections: set[int] = set()
    async with open_channel(server.address, backoff=QUICK) as channel:

        async def traffic() -> None:
            while len(connections) < 4:
                assert await rpc(channel)(b"x") == b"x"
                connections.add(id(channel._caller.connector._current))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(traffic)


# --- keepalive


async def test_grpcio_answers_our_pings(grpcio_server: MakeServer) -> None:
    options = [("grpc.http2.min_recv_ping_interval_without_data_ms", 1), ("grpc.http2.max_ping_strikes", 0)]
    server = grpcio_server(METHODS, options)
    pings = 0
    async with open_channel(server.address, keepalive=Keepalive(interval=0.005, timeout=10)) as channel:
        async with stream(channel).open() as call:
            await call.send(b"x")
            await call.receive()
            session = channel._caller.connector._current._session
            ping = session.ping
            enough = trio.Event()

            def count() -> None:
                nonlocal pings
                pings += 1
                if pings == 10:
                    enough.set()
                ping()

            session.ping = count
            await enough.wait()  # each was answered, or the next would not have been sent
            await call.send(b"y")
            assert await call.receive() == b"y"


async def test_grpcio_complains_of_too_many_pings_and_we_slow_down(grpcio_server: MakeServer) -> None:
    server = grpcio_server(METHODS)  # its default: one in five minutes
    async with open_channel(server.address, keepalive=Keepalive(interval=0.005, timeout=10), backoff=QUICK) as channel:
        async with stream(channel).open() as call:
            await call.send(b"x")
            await call.receive()
            with pytest.raises(GrpcError, match=r"(?i)too.many.pings"):
                await call.receive()
        assert channel._caller.connector._keepalive.interval == 0.01
        assert await rpc(channel)(b"x", wait_for_ready=True) == b"x"
