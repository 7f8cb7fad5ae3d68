"""HTTP/1.1 through a whole proxy: what the upstream gets, what the client gets, and what becomes of connections."""

import hashlib
import re

import h11
import pytest
import trio
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


# --- requests and answers -------------------------------------------------------------------------------------------


async def test_get(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            answer = await client.get("/cart?x=1", x_a="1")
            assert (answer.status, answer.body, answer.reason) == (200, b"ok", "")
        (request,) = app.requests
        assert (request.method, request.target, request.header("host"), request.header("x-a")) == (
            "GET", "/cart?x=1", ["app-b"], ["1"],
        )
        (exchange,) = m.seen.ended
        assert (exchange.method, exchange.path, exchange.authority) == ("GET", "/cart?x=1", "app-b")
        assert (exchange.status, exchange.reason, exchange.response_bytes, exchange.attempts) == (200, "", 2, 1)
        assert (exchange.backend, exchange.service.name, exchange.failed) == ("default/app-b:80", "app-b", False)
        assert exchange.endpoint.address == ("127.0.0.1", app.port)
        assert 0 < exchange.started <= exchange.answered <= exchange.ended


async def test_post_and_what_the_exchange_counts(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer(201, body=request.body * 2)) as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            answer = await client.request("POST", "/buy", b"hello")
            assert (answer.status, answer.body) == (201, b"hellohello")
        assert app.requests[0].body == b"hello"
        assert (m.seen.ended[0].request_bytes, m.seen.ended[0].response_bytes) == (5, 10)


async def test_answers_whose_heads_are_remembered_and_end_in_different_places(mesh, harness):
    """Some begin alike, and what follows a short head looks like the rest of a longer one."""
    answers = (
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\ncd", b"cd"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx-a: 1\r\n\r\n", b"x-a: 1\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    )
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            peer = None
            for turn in range(6):  # what is remembered is so from the third time on
                for sent, body in (*answers, *answers[::-1]):
                    await client.ask("GET", "/")
                    if peer is None:
                        peer, _ = await app.request()
                    else:
                        await peer.until()
                    await peer.send(sent)
                    answer = await client.answer()
                    assert (turn, answer.status, answer.body) == (turn, 200, body)


async def test_head_tells_of_a_body_and_has_none(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask("HEAD", "/")
            peer, head = await app.request()
            assert head.startswith(b"HEAD / HTTP/1.1\r\n")
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            answer = await client.answer()
            assert (answer.headers["content-length"], answer.body) == ("1000", b"")
            # both connections are still good
            await client.ask("GET", "/next")
            await peer.until()
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_end_with_their_head(mesh, harness, status):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 %d x\r\netag: a\r\n\r\n" % status)
            answer = await client.answer()
            assert (answer.status, answer.body) == (status, b"")
            assert "transfer-encoding" not in answer.headers
        assert m.host.outbound_pool.idle == 1


async def test_chunked_both_ways(mesh, harness):
    async with mesh() as m, http_upstream(lambda r: Answer(body=(b"one", b"two", r.body))) as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            answer = await client.request("POST", "/", [b"a" * 100, b"b"])
            assert answer.body == b"onetwo" + b"a" * 100 + b"b"
            assert answer.headers["transfer-encoding"] == "chunked"
            assert (await client.get()).status == 200  # the connection goes on
        assert app.requests[0].body == b"a" * 100 + b"b"
        assert app.requests[0].header("transfer-encoding") == ["chunked"]
        assert m.seen.ended[0].request_bytes == 101
        assert m.seen.ended[0].response_bytes == 107
        assert app.connections == 1, "the connection was clean and should have been kept"


async def test_a_body_until_close_becomes_a_chunked_one(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.0 200 OK\r\n\r\nsome")
            await peer.send(b" more")
            peer.close()
            answer = await client.answer()
            assert (answer.body, answer.headers["transfer-encoding"]) == (b"some more", "chunked")
            assert m.host.outbound_pool.idle == 0
            assert "connection" not in answer.headers


async def test_a_large_body_each_way_under_back_pressure(mesh, harness):
    """Both sides read only what the test takes: what is buffered on the way is bounded, and nothing is lost."""
    piece, count = bytes(range(256)) * 4096, 24  # 24 MiB
    whole = hashlib.sha256(piece * count).hexdigest()
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, trio.open_nursery() as nursery:
            sent = 0

            async def upload():
                nonlocal sent
                await client.send_head("POST", "/", [])
                for _ in range(count):
                    await client.send(h11.Data(data=piece))
                    sent += len(piece)
                await client.send(h11.EndOfMessage())

            nursery.start_soon(upload)
            peer, _ = await app.request()
            await m.until(lambda: sent)
            await trio.testing.wait_all_tasks_blocked()
            assert sent < len(piece) * count, "the upstream has read nothing, so the client should be held back"

            server = h11.Connection(h11.SERVER)
            server.receive_data(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + peer.seen)
            assert isinstance(server.next_event(), h11.Request)
            digest = hashlib.sha256()
            while not isinstance(event := server.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    server.receive_data(await peer.stream.receive_some(65536))
                else:
                    digest.update(event.data)
            assert digest.hexdigest() == whole

            answered = 0

            async def answer():
                nonlocal answered
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(piece) * count))
                for _ in range(count):
                    await peer.send(piece)
                    answered += len(piece)

            nursery.start_soon(answer)
            await m.until(lambda: answered)
            await trio.testing.wait_all_tasks_blocked()
            assert answered < len(piece) * count, "the client has read nothing, so the upstream should be held back"
            digest = hashlib.sha256()
            assert (await client.head())[0].status_code == 200
            while isinstance(event := await client.event(), h11.Data):
                digest.update(event.data)
            assert digest.hexdigest() == whole
        assert m.host.outbound_pool.idle == 1
        (exchange,) = m.seen.ended
        assert exchange.request_bytes == exchange.response_bytes == len(piece) * count


async def test_pipelined_requests_are_answered_in_order(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer(body=request.target.encode())) as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            requests = [b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(20)]
            requests[5] = b"POST /5 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"
            requests[9] = b"POST /9 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            requests[19] = b"GET /19 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
            await client.stream.send_all(b"".join(requests))
            got, clean = await harness.Peer(client.stream).rest()
            assert clean
        assert re.findall(rb"\r\n\r\n/(\d+)", got) == [b"%d" % n for n in range(20)]
        assert [request.target for request in app.requests] == [f"/{n}" for n in range(20)]
        assert app.requests[9].body == b"abc"


async def test_the_bytes_of_a_request_may_come_one_by_one(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            for byte in b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody":
                await client.stream.send_all(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked()
            client.h11.send(h11.Request(method="GET", target="/slow", headers=[("host", "a")]))  # h11 sends nothing
            client.h11.send(h11.EndOfMessage())
            assert (await client.answer()).status == 200
        assert (app.requests[0].target, app.requests[0].body) == ("/slow", b"body")


# --- connections ----------------------------------------------------------------------------------------------------


async def test_one_connection_carries_many_requests_on_both_sides(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            for _ in range(50):
                assert (await client.get()).status == 200
        assert (app.connections, len(app.requests)) == (1, 50)
        assert m.counter("pool_connects_total") == 1


async def test_connection_close_of_the_client_is_its_own_affair(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        for _ in range(2):
            async with m.client() as client:
                answer = await client.get(connection="close")
                assert answer.headers["connection"] == "close"
                assert await client.ended()
        assert app.connections == 1
        assert app.requests[0].header("connection") == [], "hop-by-hop"


async def test_connection_close_of_the_upstream_is_not_the_clients(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer(close=True)) as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            for _ in range(3):
                answer = await client.get()
                assert (answer.status, answer.headers.get("connection")) == (200, None)
        assert app.connections == 3
        assert m.host.outbound_pool.idle == 0


async def test_http_1_0_is_answered_and_closed(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer(body=(b"in ", b"pieces"))) as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.stream.send_all(b"GET /old HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            got, clean = await harness.Peer(client.stream).rest()
        assert clean
        head, _, body = got.partition(b"\r\n\r\n")
        assert body == b"in pieces", "1.0 has no chunked coding: the end of the connection is the end of the body"
        assert b"transfer-encoding" not in head.lower()
        assert m.seen.ended[0].protocol == "http/1.0"
        assert app.requests[0].target == "/old"


async def test_a_client_that_half_closes_still_gets_its_answer(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await client.stream.send_eof()
            got, clean = await harness.Peer(client.stream).rest()
            assert (got[:13], got[-2:], clean) == (b"HTTP/1.1 200 ", b"ok", True)


# --- upgrades -------------------------------------------------------------------------------------------------------

UPGRADE = b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-x: y\r\n\r\n"


async def test_an_upgrade_becomes_a_tunnel(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(UPGRADE)
            peer, head = await app.request()
            assert b"upgrade: websocket\r\n" in head.lower()
            assert b"connection: upgrade\r\n" in head.lower()
            await peer.send(SWITCHING + b"early")
            answer = await client.until()
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert b"upgrade: websocket\r\n" in answer.lower()
            assert b"sec-x: y\r\n" in answer.lower()
            assert await client.exactly(5) == b"early"
            await client.send(b"ping")
            assert await peer.exactly(4) == b"ping"
            await peer.send(b"pong")
            assert await client.exactly(4) == b"pong"
            await client.send_eof()
            assert await peer.rest() == (b"", True)
            await peer.send(b"last words")
            await peer.send_eof()
            assert await client.rest() == (b"last words", True)
        await m.settled()
        first, tunnel = m.seen.ended
        assert (first.status, first.protocol) == (101, "http/1.1")
        assert (tunnel.protocol, tunnel.request_bytes, tunnel.response_bytes) == ("tcp", 4, 19)
        assert tunnel.endpoint == first.endpoint
        assert m.host.outbound_pool.idle == 0


async def test_what_the_client_said_ahead_of_the_switch_reaches_the_other_side(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(UPGRADE + b"ahead")
            peer, _ = await app.request()
            await peer.send(SWITCHING)
            assert await peer.exactly(5) == b"ahead"
            await client.until()
            peer.close()
            assert await client.rest() == (b"", True)


async def test_an_upgrade_that_is_declined_is_an_ordinary_answer(mesh, harness):
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            answer = await client.get(connection="upgrade", upgrade="websocket")
            assert (answer.status, answer.body) == (200, b"ok")
            assert (await client.get()).status == 200


async def test_a_switch_that_nobody_asked_for_is_a_bad_answer(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(SWITCHING)
            answer = await client.answer()
            assert (answer.status, answer.reason) == (502, "bad-answer")


async def test_a_switch_while_the_request_is_still_on_its_way_is_a_bad_answer(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(UPGRADE[:-2] + b"content-length: 100\r\n\r\nhalf")
            peer, _ = await app.request()
            await peer.send(SWITCHING)
            assert (await client.until()).startswith(b"HTTP/1.1 502 ")


# --- 100-continue and early answers ---------------------------------------------------------------------------------


async def test_a_client_that_waits_for_100_is_told_to_go_on(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer(body=request.body)) as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("PUT", "/", b"12345", expect="100-continue")
            assert isinstance(event := await client.event(), h11.InformationalResponse)
            assert event.status_code == 100
            await client.send(h11.Data(data=b"12345"))
            await client.send(h11.EndOfMessage())
            answer = await client.answer()
            assert (answer.status, answer.body, answer.interim) == (200, b"12345", [])


async def test_interim_answers_of_the_upstream_are_passed_on_but_for_100(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK)
            answer = await client.answer()
            assert (answer.status, answer.body, answer.interim) == (200, b"ok", [103])
        assert m.host.outbound_pool.idle == 1


@pytest.mark.parametrize("reads", [True, False])
async def test_trailers_reach_a_client_that_reads_them(mesh, harness, reads):
    """RFC 9110 section 6.5.1: only one that said so (TE)."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask(**({"te": "trailers", "connection": "te"} if reads else {}))
            peer, head = await app.request()
            assert (b"te: trailers\r\n" in head) == reads
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")
            await client.head()
            while isinstance(event := await client.event(), h11.Data):
                pass
            assert list(event.headers) == ([(b"x-sum", b"1")] if reads else [])
        assert m.host.outbound_pool.idle == 1


async def test_an_early_final_answer_stops_the_upload(mesh, harness):
    """RFC 9112 section 9.3: the answer must arrive, although the client is still sending."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client, trio.open_nursery() as nursery:
            await client.send_head("POST", "/", [])
            await client.send(h11.Data(data=b"x" * 1000))
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!")
            stopped = trio.Event()

            async def go_on():  # until somebody stops us
                try:
                    while True:
                        await client.send(h11.Data(data=b"x" * 65536))
                except trio.BrokenResourceError:
                    stopped.set()

            nursery.start_soon(go_on)
            answer = await client.answer()
            assert (answer.status, answer.body, answer.headers["connection"]) == (413, b"no!", "close")
            await stopped.wait()
            assert (await peer.rest())[1] is False, "the upstream should see that the request was broken off"
        assert m.host.outbound_pool.idle == 0


async def test_an_early_answer_outlives_a_client_that_has_more_to_say(mesh, harness):
    """Closing with unread bytes resets the connection, and the reset may overtake the answer (RFC 9112 section 9.6)."""
    body = b"y" * 3_000_000
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("POST", "/", body)
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 403 No\r\ncontent-length: 3\r\n\r\nno!")
            with trio.fail_after(harness.PATIENCE):
                await client.stream.send_all(body)  # all of it is taken
            answer = await client.answer()
            assert (answer.status, answer.body) == (403, b"no!")
            assert await client.ended(), "an orderly end"


async def test_an_answer_beside_an_upload(mesh, harness):
    """The answer begins before the request has ended, and both go on: an echo."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.send_head("POST", "/", [])
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for word in (b"one", b"two", b"three"):
                await client.send(h11.Data(data=word))
                await peer.until(word)
                await peer.send(b"%x\r\n%b\r\n" % (len(word), word))
                event = await client.event()
                if isinstance(event, h11.Response):
                    event = await client.event()
                assert event.data == word
            await client.send(h11.EndOfMessage())
            await peer.until(b"0\r\n\r\n")
            await peer.send(b"0\r\n\r\n")
            assert isinstance(await client.event(), h11.EndOfMessage)
