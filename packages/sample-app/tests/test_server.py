"""Connections as transcripts: what arrives, what must leave, and whether the connection goes on."""

import asyncio

import pytest
from tulle_sample_app import server as server_module
from tulle_sample_app.server import CHUNK_BYTES, Response


async def plain(request, connection):
    """Answers the target; reads the body only of a PUT; fails, closes or waits where the path says so."""
    if request.target == "/bug":
        raise RuntimeError("on purpose")
    got = b"".join([piece async for piece in connection.body()]) if request.method == "PUT" else b""
    return Response(200, request.target.encode() + got, chunked=request.target == "/chunked")


OK_A = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a"
OK_B_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/b"
B_CLOSE = b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TRANSCRIPTS = {
    "kept alive, then closed": (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + B_CLOSE, OK_A + OK_B_CLOSE),
    "kept alive until the client is done": (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", OK_A),
    "1.0 closes": (b"GET /b HTTP/1.0\r\n\r\n", OK_B_CLOSE),
    "1.0 may be kept alive": (
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n/a" + OK_B_CLOSE),
    "HEAD has no body": (b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + B_CLOSE,
                         b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + OK_B_CLOSE),
    "a body is read": (b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz" + B_CLOSE,
                       b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/axyz" + OK_B_CLOSE),
    "a chunked body is read": (
        b"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n" + B_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/axyz" + OK_B_CLOSE),
    "a body that nobody wanted is read away": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz" + B_CLOSE, OK_A + OK_B_CLOSE),
    "a body of unknown length that nobody wanted ends the connection": (
        b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + B_CLOSE, OK_B_CLOSE),
    "asked for before it is sent": (
        b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx" + B_CLOSE,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n/ax" + OK_B_CLOSE),
    "not asked for, and so not sent": (
        b"POST /b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", OK_B_CLOSE),
    "chunks": (b"GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n" + B_CLOSE,
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n/chunked\r\n0\r\n\r\n" + OK_B_CLOSE),
    "no chunks for 1.0": (b"GET /chunked HTTP/1.0\r\n\r\n",
                          b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n/chunked"),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_transcripts(name, byte_by_byte, serve, run):
    arrives, leaves = TRANSCRIPTS[name]

    async def go():
        async with serve(plain) as served:
            parts = [bytes([byte]) for byte in arrives] if byte_by_byte else [arrives]
            assert await served.talk(*parts) == leaves
    run(go())


@pytest.mark.parametrize(("arrives", "status"), [
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
    (b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", b"431"),
    (b"GET / HTTP/3\r\nHost: x\r\n\r\n", b"505"),
])
def test_what_is_not_http_is_answered_and_ends_the_connection(arrives, status, serve, run):
    async def go():
        async with serve(plain) as served:
            answer = await served.talk(arrives + B_CLOSE, end=False)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"Connection: close\r\n" in answer
            assert answer.count(b"HTTP/1.1 ") == 1
    run(go())


def test_a_bug_is_a_500_and_the_connection_goes_on(serve, run, capsys):
    async def go():
        async with serve(plain) as served:
            answer = await served.talk(b"GET /bug HTTP/1.1\r\nHost: x\r\n\r\n" + B_CLOSE)
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert answer.endswith(OK_B_CLOSE)
    run(go())
    assert "on purpose" in capsys.readouterr().err


def test_large_answers_come_in_chunks(serve, run):
    async def large(request, connection):
        return Response(200, b"x" * (2 * CHUNK_BYTES + 1), chunked=True)

    async def go():
        async with serve(large) as served:
            answer = await served.talk(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            full = b"%x\r\n%b\r\n" % (CHUNK_BYTES, b"x" * CHUNK_BYTES)
            assert answer.endswith(b"\r\n\r\n" + full + full + b"1\r\nx\r\n0\r\n\r\n")
    run(go())


def test_an_idle_connection_is_closed(serve, run, monkeypatch):
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.01)

    async def go():
        async with serve(plain) as served:
            assert await served.talk(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", end=False) == OK_A
    run(go())


def test_the_source_is_said_for_both_families(serve, run):
    async def where(request, connection):
        return Response(200, connection.source.encode())

    async def go():
        async with serve(where) as served:
            for host, start in (("127.0.0.1", b"127.0.0.1:"), ("::1", b"[::1]:")):
                reader, writer = await asyncio.open_connection(host, served.port)
                writer.write(B_CLOSE)
                assert (await reader.read()).split(b"\r\n\r\n")[1].startswith(start)
                writer.close()
    run(go())


class Gate:
    """A handler that says when a request is in its hands, and holds it until it is let go."""

    def __init__(self):
        self.entered, self.released = asyncio.Event(), asyncio.Event()

    async def __call__(self, request, connection):
        if request.target == "/hold":
            self.entered.set()
            await self.released.wait()
        return Response(200, request.target.encode())


HOLD = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_drain_finishes_what_is_in_flight_and_closes_what_is_idle(serve, run):
    async def go():
        gate = Gate()
        async with serve(gate) as served:
            idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", served.port)
            idle_writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await idle_reader.readexactly(len(OK_A)) == OK_A
            busy = asyncio.create_task(served.talk(HOLD, end=False))
            await gate.entered.wait()
            drain = asyncio.create_task(served.server.drain(0, 60))
            assert await idle_reader.read() == b""  # closed, although the client was not done
            idle_writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", served.port)
            assert not drain.done()
            gate.released.set()
            assert await busy == (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n/hold")
            await drain
    run(go())


def test_before_that_it_serves_on_and_says_close(serve, run):
    async def go():
        async with serve(plain) as served:
            drain = asyncio.create_task(served.server.drain(3600, 0))
            await asyncio.sleep(0)
            assert b"Connection: close" in await served.talk(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", end=False)
            drain.cancel()
    run(go())


def test_a_drain_has_a_deadline(serve, run, capsys):
    async def go():
        gate = Gate()
        async with serve(gate) as served:
            busy = asyncio.create_task(served.talk(HOLD, end=False))
            await gate.entered.wait()
            await served.server.drain(0, 0)
            assert await busy == b""
    run(go())
    assert "cut off" in capsys.readouterr().err
