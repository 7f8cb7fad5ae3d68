"""What upstreams do wrong: the client is told the truth, and no connection that is in doubt is used again."""

import h11
import pytest
import trio
from tulle_data_plane.shell.channel import TcpChannel
from tulle_testkit import Faults, fault_proxy, http_upstream

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def kept(m, app, client):
    """One good exchange; the upstream's end of the connection that is kept afterwards."""
    await client.ask()
    peer, _ = await app.request()
    await peer.send(OK)
    assert (await client.answer()).status == 200
    assert m.host.outbound_pool.idle == 1
    return peer


# --- truncation -----------------------------------------------------------------------------------------------------

BEGINNINGS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhalf",
    "last chunk without its end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhalf",
}


# an orderly end is the end of a body "until close"
BREAKS = [(f, how) for f in BEGINNINGS for how in ("close", "reset") if (f, how) != ("until close", "close")]


@pytest.mark.parametrize(("framing", "how"), BREAKS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_broken_answer_never_looks_like_a_whole_one(mesh, harness, framing, how, version):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/%b\r\nhost: a\r\n\r\n" % version.encode())
            peer, _ = await app.request()
            await peer.send(BEGINNINGS[framing])
            assert (await client.until(b"half"))  # the answer has begun
            peer.reset() if how == "reset" else peer.close()
            rest, clean = await client.rest()
            assert not clean, "the end must be a reset: to a 1.0 client an orderly one would complete the body"
            assert b"0\r\n\r\n" not in rest
        (exchange,) = m.seen.ended
        assert (exchange.status, exchange.aborted, exchange.reason, exchange.failed) == (
            200, True, "upstream-reset", True,
        )
        assert m.host.outbound_pool.idle == 0


async def test_a_body_that_breaks_its_framing_is_broken_off(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            await client.until(b"half")
            await peer.send(b"xyz\r\n")
            assert (await client.rest())[1] is False
            assert (await peer.rest())[1] is False
        assert m.seen.ended[0].reason == "bad-answer"


# --- no answer, or none that can be understood ----------------------------------------------------------------------

BAD_ANSWERS = {
    "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "http/2": b"HTTP/2 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
    "lengths that differ": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
    "a length that is negative": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    "a bare line feed": b"HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\nok",
    "a field without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
    "a coding that is unknown": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "a 204 with a body": b"HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok",
    "a head too large": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    "no end of interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
async def test_what_is_no_answer_is_502_and_its_connection_is_gone(mesh, harness, case):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(BAD_ANSWERS[case])
            answer = await client.answer()
            assert (answer.status, answer.reason) == (502, "bad-answer")
            assert (await peer.rest())[1] is False
            await client.ask()  # the client's own connection is good
            peer, _ = await app.request()
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"
        assert m.seen.ended[0].failed


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_new_connection_that_ends_without_an_answer_is_502(mesh, harness, how, said, method):
    """The request may have had its effect, and a new connection was not closed for being idle: no replay."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask(method)
            peer, _ = await app.request()
            if said:
                await peer.send(said)
            peer.reset() if how == "reset" else peer.close()
            answer = await client.answer()
            assert (answer.status, answer.reason) == (502, "upstream-reset")
        assert m.counter("pool_connects_total") == 1


async def test_an_answer_of_a_server_that_has_read_nothing_is_still_read(mesh, harness):
    """It answers and closes while the request is still being sent: sending fails, the answer is there."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, trio.open_nursery() as nursery:

            async def go_on():
                try:
                    await client.send_head("POST", "/", b"x" * 50_000_000)
                    await client.stream.send_all(b"x" * 50_000_000)
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(go_on)
            peer = await app.accept()
            await peer.send(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy")
            peer.close()  # with bytes unread: a reset follows
            answer = await client.answer()
            assert (answer.status, answer.body, answer.reason) == (503, b"busy", "")
            nursery.cancel_scope.cancel()


# --- kept connections -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("excess", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"x", b"\r\n"])
async def test_bytes_after_an_answer_poison_nothing(mesh, harness, excess):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK + excess)
            assert (await client.answer()).body == b"ok"
            assert m.host.outbound_pool.idle == 0
            await client.ask()
            peer, _ = await app.request()  # a new one
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"


async def test_bytes_after_a_chunked_answer_poison_nothing(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1")
            assert (await client.answer()).body == b"ok"
            assert m.host.outbound_pool.idle == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("event", ["bytes", "close", "reset"])
async def test_a_kept_connection_on_which_something_has_happened_is_not_used(mesh, harness, event, method):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            if event == "bytes":
                await peer.send(b"HTTP/1.1 408 Timeout\r\nconnection: close\r\n\r\n")
            elif event == "close":
                peer.close()
            else:
                peer.reset()
            await trio.testing.wait_all_tasks_blocked()
            await client.ask(method)
            peer, _ = await app.request()
            await peer.send(OK)
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"ok")
        assert m.counter("pool_connects_total") == 2


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_a_kept_connection_that_is_closed_just_then_costs_no_idempotent_request(mesh, harness, method, how):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.ask(method, "/second")
            await peer.until()
            peer.reset() if how == "reset" else peer.close()
            peer, head = await app.request()
            assert head.startswith(f"{method} /second ".encode())
            await peer.send(OK if method != "HEAD" else OK[:-2])
            assert (await client.answer()).status == 200
        assert m.seen.ended[1].attempts == 1, "to the endpoint it is one try"


async def test_a_request_is_replayed_once_and_no_more(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.ask()
            await peer.until()
            peer.close()
            peer, _ = await app.request()
            peer.close()
            answer = await client.answer()
            assert (answer.status, answer.reason) == (502, "upstream-reset")
        assert m.counter("pool_connects_total") == 2


async def test_a_request_with_an_effect_is_never_replayed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.ask("POST")
            await peer.until()
            peer.close()
            answer = await client.answer()
            assert (answer.status, answer.reason) == (502, "upstream-reset")
        assert m.counter("pool_connects_total") == 1


@pytest.mark.parametrize("method", ["POST", "CONNECT"])
async def test_a_request_with_an_effect_of_which_nothing_was_taken_is_sent_again(mesh, harness, monkeypatch, method):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            # the reset has come, and the driver has not been told of it yet
            monkeypatch.setattr(TcpChannel, "stale", lambda channel: False)
            peer.reset()
            target = "/" if method == "POST" else "app-b:80"
            await client.stream.send_all(f"{method} {target} HTTP/1.1\r\nhost: app-b:80\r\n\r\n".encode())
            peer, head = await app.request()
            assert head.startswith(f"{method} {target} ".encode())
            await peer.send(b"HTTP/1.1 403 x\r\ncontent-length: 0\r\n\r\n")
            assert (await client.receive()).startswith(b"HTTP/1.1 403 ")
        assert m.counter("pool_connects_total") == 2


async def test_a_request_is_not_replayed_once_an_answer_has_begun(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.ask()
            await peer.until()
            await peer.send(b"HTTP/1.1 2")
            peer.close()
            assert (await client.answer()).status == 502
        assert m.counter("pool_connects_total") == 1


async def test_a_body_that_was_streamed_is_not_replayed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = await kept(m, app, client)
            await client.send_head("PUT", "/", [])
            await client.send(h11.Data(data=b"part"))
            await peer.until(b"part")
            peer.close()
            assert (await client.answer()).status == 502
        assert m.counter("pool_connects_total") == 1


# --- through a network that slices and stalls -----------------------------------------------------------------------


async def test_an_upstream_whose_bytes_come_one_by_one(mesh, harness):
    async with mesh() as m, http_upstream() as app, fault_proxy(app.port, Faults(slice=1)) as slow:
        await m.service(harness.VIP, slow.port)
        async with m.client() as client:
            for _ in range(3):
                assert (await client.request("POST", "/", b"body")).body == b"ok"
        assert app.connections == 1


@pytest.mark.parametrize("after", [0, 1, 10, 38, 39])
async def test_a_connection_cut_anywhere_in_the_answer_is_seen(mesh, harness, after):
    """39 bytes are a whole answer here: only that is delivered as one."""
    async with mesh() as m, m.raw_upstream() as app, fault_proxy(app.port, Faults(reset_after=max(after, 100))) as net:
        await m.service(harness.VIP, net.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            assert len(OK) == 40
            await peer.send(OK[: after + 1])
            peer.reset()
            if after == 39:
                assert (await client.answer()).body == b"ok"
            elif after < 38:
                assert (await client.answer()).status == 502
            else:
                with pytest.raises((h11.RemoteProtocolError, ConnectionResetError)):
                    await client.answer()
