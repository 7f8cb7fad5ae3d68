"""What clients do wrong, and what takes too long: refused or ended, nothing left behind, no harm to upstreams."""

import h11
import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Config, Policy, Position
from tulle_testkit import http_upstream

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


# --- requests that are none -----------------------------------------------------------------------------------------

BAD_REQUESTS = {
    # what -> the status and the reason
    b"GET / HTTP/1.1\r\n\r\n": (400, "bad-host"),
    b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n": (400, "bad-host"),
    b"GET / HTTP/1.1\nhost: a\r\n\r\n": (400, "bare-line-feed"),
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n": (
        400, "conflicting-framing"),
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n": (400, "bad-transfer-encoding"),
    b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n": (400, "bad-transfer-encoding"),
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx": (400, "bad-content-length"),
    b"GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n": (400, "bad-field"),
    b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"x" * 20_000): (414, "uri-too-long"),
    b"GET / HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % (b"x" * 70_000): (431, "head-too-large"),
    b"GET / HTTP/1.1\r\nhost: a\r\n%b\r\n" % (b"x: y\r\n" * 101): (431, "too-many-fields"),
}


@pytest.mark.parametrize("request_bytes", BAD_REQUESTS, ids=[reason for _, reason in BAD_REQUESTS.values()])
@pytest.mark.parametrize("more", [b"", b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n" * 3])
async def test_what_is_ambiguous_is_refused_and_nothing_of_it_goes_on(mesh, harness, request_bytes, more):
    status, reason = BAD_REQUESTS[request_bytes]
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, protocol=pb.PROTOCOL_HTTP1)
        async with await m.dial() as stream, m.client() as neighbour:
            client = harness.Peer(stream)
            await client.send(request_bytes + more)
            await client.send_eof()
            got, clean = await client.rest()
            assert got.startswith(b"HTTP/1.1 %d " % status)
            assert b"\r\ntulle-reason: %b\r\n" % reason.encode() in got
            assert b"\r\nconnection: close\r\n" in got
            assert got.count(b"HTTP/1.1 %d " % status) == 1
            assert clean, "a reset could overtake the answer"
            assert (await neighbour.get()).status == 200
        assert [request.target for request in app.requests] == ["/"]
        refused = next(e for e in m.seen.ended if e.status != 200)
        assert (refused.status, refused.reason) == (status, reason)


async def test_a_bad_request_after_a_good_one_is_the_last(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET nowhere HTTP/1.1\r\nhost: a\r\n\r\n")
            await client.send_eof()
            got, clean = await client.rest()
            assert (got.count(b"HTTP/1.1 200 "), got.count(b"HTTP/1.1 400 "), clean) == (1, 1, True)


async def test_a_body_that_breaks_its_framing_is_the_clients_fault(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            peer, _ = await app.request(b"half\r\n")
            await client.send(b"xyz\r\n")
            rest, clean = await peer.rest()
            assert (rest, clean) == (b"", False), "the upstream must not take half a request for a whole one"
            head = await client.until()
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"tulle-reason: bad-chunk\r\n" in head
            await client.send_eof()
            assert (await client.rest())[1] is True
        assert m.host.outbound_pool.idle == 0


# --- clients that go away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_client_that_goes_in_mid_upload_aborts_the_upstream(mesh, harness, how, framing):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("POST", "/", [] if framing == "chunked" else b"x" * 1000)
            await client.send(h11.Data(data=b"half"))
            peer, _ = await app.request(b"half")
            client.reset() if how == "reset" else client.stream.socket.close()
            assert (await peer.rest())[1] is False
        await m.settled()
        (exchange,) = m.seen.ended
        assert exchange.reason == "client-reset"
        assert m.host.outbound_pool.idle == 0


async def test_a_client_that_ends_its_side_in_mid_body_is_told(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("POST", "/", b"x" * 1000)
            await client.send(h11.Data(data=b"half"))
            peer, _ = await app.request(b"half")
            await client.stream.send_eof()
            assert (await peer.rest())[1] is False
            got, clean = await harness.Peer(client.stream).rest()
            assert got.startswith(b"HTTP/1.1 400 ")
            assert b"tulle-reason: client-reset\r\n" in got
            assert clean


async def test_a_client_that_goes_while_its_answer_is_made(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            client.reset()
            await trio.testing.wait_all_tasks_blocked()
            await peer.send(OK)
            await m.settled()
        (exchange,) = m.seen.ended
        assert (exchange.aborted, exchange.reason, exchange.failed) == (True, "client-reset", True)
        assert m.host.outbound_pool.idle == 1, "the upstream's side was clean"


async def test_a_client_that_goes_in_the_middle_of_a_long_answer_aborts_the_upstream(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + b"x" * 1000)
            await client.head()
            client.reset()
            with trio.fail_after(harness.PATIENCE), pytest.raises(trio.BrokenResourceError):
                while True:
                    await peer.stream.send_all(b"x" * 65536)
        await m.settled()
        assert (m.seen.ended[0].aborted, m.seen.ended[0].reason) == (True, "client-reset")


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nhost"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_before_it_has_asked_for_anything(mesh, harness, said, how):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, protocol=pb.PROTOCOL_HTTP1)
        async with m.client() as client:
            if said:
                await client.stream.send_all(said)
            await trio.testing.wait_all_tasks_blocked()
            client.reset() if how == "reset" else client.stream.socket.close()
            await m.settled()
        assert (app.requests, m.seen.ended) == ([], [])


# --- what takes too long: time passes when the test says so ---------------------------------------------------------


async def test_a_head_that_is_never_completed(mesh, harness, mock_clock):
    async with mesh(head_seconds=10) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.1\r\nhost")
            for _ in range(9):  # a byte a second is not enough
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(1)
                await client.send(b"t")
            await trio.testing.wait_all_tasks_blocked()
            assert client.stream.socket.fileno() >= 0
            assert m.seen.ended == []
            mock_clock.jump(1.1)
            head = await client.until()
            assert head.startswith(b"HTTP/1.1 408 ")
            assert b"tulle-reason: head-timeout\r\n" in head
            await client.send_eof()
            assert (await client.rest())[1] is True
        assert app.requests == []
        assert m.seen.ended[0].reason == "head-timeout"


async def test_a_kept_connection_on_which_nothing_comes_is_closed(mesh, harness, mock_clock):
    async with mesh(idle_seconds=60) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.get()
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(59)
            await trio.testing.wait_all_tasks_blocked()
            await client.get()  # starts it anew
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(59)
            await trio.testing.wait_all_tasks_blocked()
            assert m.open == 1
            mock_clock.jump(1.1)
            assert await client.ended() is True
        assert len(m.seen.ended) == 2


async def test_a_refused_client_that_never_leaves_is_left(mesh, harness, mock_clock):
    """It is listened to after its last answer, so that the answer arrives; but not for ever."""
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            await client.until()
            await trio.testing.wait_all_tasks_blocked()
            await client.send(b"more")
            await trio.testing.wait_all_tasks_blocked()
            assert m.open == 1
            mock_clock.jump(2.1)
            await m.settled()


async def test_a_server_that_does_not_accept_in_time(mesh, harness, mock_clock):
    sock = harness.socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    port = sock.getsockname()[1]
    waiting = []
    for _ in range(4):  # the queue is full: what comes now gets no answer at all
        client = harness.socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        waiting.append(client)
    try:
        async with mesh(connect_seconds_outbound=1.0) as m, http_upstream() as app:
            await m.service(harness.VIP, port)
            async with m.client() as client:
                await client.ask()
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(1.1)
                answer = await client.answer()
                assert (answer.status, answer.reason) == (504, "connect-timeout")
                await m.service(harness.VIP, port, app.port)
                await client.ask()
                await trio.testing.wait_all_tasks_blocked()
                assert (await client.answer()).status == 200, "the other endpoint, since the first is ejected"
    finally:
        for one in (sock, *waiting):
            one.close()


async def test_connections_that_nobody_uses_are_closed(mesh, harness, mock_clock):
    async with mesh(pool_idle_seconds=50) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK)
            await client.answer()
        await m.settled()
        mock_clock.jump(49)
        await trio.testing.wait_all_tasks_blocked()
        assert m.host.outbound_pool.idle == 1
        for _ in range(2):
            mock_clock.jump(5)
            await trio.testing.wait_all_tasks_blocked()
        assert m.host.outbound_pool.idle == 0
        assert await peer.rest() == (b"", True)


# --- deadlines that a policy sets -----------------------------------------------------------------------------------


class Nothing(Config):
    """No settings."""


class Within(Policy[Nothing]):
    """One second, as the timeout policy does it."""

    config, position, uses_trio = Nothing, Position.TIMEOUT, False

    def build(self, config, next, runtime):
        async def handler(exchange):
            with runtime.timeout(1):
                return await next(exchange)

        return handler


class WithinUnderTrio(Within):
    uses_trio = True


@pytest.mark.parametrize("policy", [Within(), WithinUnderTrio()], ids=["fast path", "under trio"])
@pytest.mark.parametrize("body", [b"", b"whole", [b"in ", b"pieces"]], ids=["no body", "whole", "pieces"])
async def test_an_upstream_that_does_not_answer_in_time(mesh, harness, mock_clock, policy, body):
    async with mesh(harness.plugins(policies={"within": policy})) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=[pb.Policy(type="within", source="test")])
        async with m.client() as client, trio.open_nursery() as nursery:
            answers = []

            async def ask():
                answers.append(await client.request("POST", "/", body))

            nursery.start_soon(ask)
            peer, _ = await app.request()
            await trio.testing.wait_all_tasks_blocked()
            assert not answers
            mock_clock.jump(1.1)
            await m.until(lambda: answers)
            assert (answers[0].status, answers[0].reason) == (504, "timeout")
            assert (await peer.rest())[1] is False, "the upstream should see that nobody waits any more"
        assert m.host.outbound_pool.idle == 0


@pytest.mark.parametrize("policy", [Within(), WithinUnderTrio()], ids=["fast path", "under trio"])
async def test_a_timeout_in_mid_upload(mesh, harness, mock_clock, policy):
    async with mesh(harness.plugins(policies={"within": policy})) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=[pb.Policy(type="within", source="test")])
        async with m.client() as client:
            await client.send_head("POST", "/", [])
            await client.send(h11.Data(data=b"half"))
            peer, _ = await app.request(b"half")
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(1.1)
            answer = await client.answer()
            assert (answer.status, answer.reason, answer.headers["connection"]) == (504, "timeout", "close")
            assert (await peer.rest())[1] is False
