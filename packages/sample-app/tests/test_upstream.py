"""The client: connections kept, stale ones replaced, and every way of failing named."""

import asyncio
import contextlib

import pytest
from tulle_sample_app import upstream as upstream_module
from tulle_sample_app.upstream import Upstream, UpstreamError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nok"
NOTHING = b""
SILENCE = None


@contextlib.asynccontextmanager
async def scripted(*connections):
    """A server that answers the nth connection's requests from a script, and then closes it."""
    scripts = iter(connections)
    heads = []

    async def accepted(reader, writer):
        for answer in next(scripts):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if answer is SILENCE:
                await reader.read()  # until the client gives up
            else:
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        client = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield client, heads
        client.close()


def test_a_connection_is_kept(run):
    async def go():
        async with scripted([OK, OK, OK]) as (client, heads):
            for _ in range(3):
                answer = await client.get("/x?y=1", [("X-Request-Id", "7")])
                assert (answer.status, answer.body) == (200, b"ok")
            assert client.connections == 1
            assert heads[0].startswith(b"GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:")
            assert b"X-Request-Id: 7\r\n" in heads[0]
    run(go())


@pytest.mark.parametrize("first", [CLOSE, UNTIL_CLOSE])
def test_a_connection_that_says_close_is_not_used_again(first, run):
    async def go():
        async with scripted([first], [OK]) as (client, _):
            assert (await client.get("/", [])).body == b"ok"
            assert (await client.get("/", [])).body == b"ok"
            assert client.connections == 2
    run(go())


def test_a_kept_connection_that_dies_before_its_answer_is_replaced(run):
    async def go():
        async with scripted([OK, NOTHING], [OK]) as (client, heads):
            assert (await client.get("/1", [])).body == b"ok"
            assert (await client.get("/2", [])).body == b"ok"
            assert [head.split()[1] for head in heads] == [b"/1", b"/2", b"/2"]
            assert client.connections == 2
    run(go())


@pytest.mark.parametrize(("script", "reason"), [
    ([NOTHING], "cut-off"),  # a new connection: nothing to replace
    ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"], "cut-off"),
    ([b"220 smtp.example ESMTP\r\n\r\n"], "not-http"),
    ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], "not-http"),
])
def test_failures_have_names(script, reason, run):
    async def go():
        async with scripted(script) as (client, heads):
            with pytest.raises(UpstreamError) as caught:
                await client.get("/", [])
            assert caught.value.reason == reason
            assert len(heads) == 1
    run(go())


def test_an_answer_cut_off_is_not_asked_for_again(run):
    async def go():
        async with scripted([OK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]) as (client, heads):
            await client.get("/", [])
            with pytest.raises(UpstreamError, match="before its answer was whole"):
                await client.get("/", [])
            assert len(heads) == 2
    run(go())


def test_a_timeout(run, monkeypatch):
    monkeypatch.setattr(upstream_module, "TIMEOUT_SECONDS", 0.05)

    async def go():
        async with scripted([SILENCE]) as (client, heads):
            with pytest.raises(UpstreamError, match="did not answer within"):
                await client.get("/", [])
            assert len(heads) == 1
    run(go())


@pytest.mark.parametrize("url", ["app-b", "https://app-b", "http://", "http://app-b/path", "http://app-b:http",
                                 "http://" + "x" * 70])
def test_what_is_not_an_upstream(url):
    with pytest.raises(ValueError, match=r".+"):
        Upstream(url)
