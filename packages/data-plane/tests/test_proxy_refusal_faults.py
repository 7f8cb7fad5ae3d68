"""Every row of the codec's tables of refusals, through a whole proxy.

Requests: answered with the table's status and reason, the connection closed, and upstream there is not so much as a
connection. Answers: 502, and their connection is never used again. The tables are those of tests/wire, so that a rule
which is added there is held to here.
"""

import importlib.util
from pathlib import Path

import pytest
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.errors import STATUS
from tulle_data_plane.wire.errors import REASONS
from tulle_testkit import http_upstream

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"


def _rows(name):
    spec = importlib.util.spec_from_file_location(f"tulle_{name}", Path(__file__).parent / "wire" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _by_reason(rows):
    found = {}
    for row, reason in rows:
        found.setdefault(reason, []).append(row)
    return found


_requests, _answers, _bodies = _rows("test_wire_request"), _rows("test_wire_response"), _rows("test_wire_bodies")

GET = b"GET / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
OVER_THE_LIMIT = [
    (b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"x" * 16 * 1024), "uri-too-long"),
    (GET + b"x: %b\r\n\r\n" % (b"y" * 64 * 1024), "head-too-large"),
    (GET + b"x: y\r\n" * 100 + b"\r\n", "too-many-fields"),
    (CHUNKED + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * 4096), "chunk-extensions-too-large"),
    (CHUNKED + b"0\r\nx: %b\r\n\r\n" % (b"y" * 8192), "trailers-too-large"),
    (CHUNKED + b"0\r\n" + b"x: y\r\n" * 101 + b"\r\n", "trailers-too-large"),
]
BROKEN_BODIES = [(body, reason) for body, reason in _bodies.BROKEN if reason != "truncated-body"]

REFUSED_REQUESTS = _by_reason([
    *((_requests.wire(text) + b"\r\n", reason) for text, reason in _requests.REFUSED),
    *((CHUNKED + body, reason) for body, reason in BROKEN_BODIES),
    *OVER_THE_LIMIT,
])  # fmt: skip


def test_the_table_has_every_reason_that_a_client_can_give():
    """But for what only answers can do, and for a body that does not come: test_proxy_client_faults has that."""
    assert set(REFUSED_REQUESTS) == set(REASONS) - {"bad-status-line", "truncated-body"}
    assert sum(map(len, REFUSED_REQUESTS.values())) > 200


@pytest.mark.trio
@pytest.mark.parametrize("reason", REFUSED_REQUESTS)
async def test_a_refused_request_sends_nothing_upstream(mesh, harness, reason):
    status = STATUS[reason][0]
    assert status == {"uri-too-long": 414, "head-too-large": 431, "too-many-fields": 431}.get(reason, 400)
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, protocol=pb.PROTOCOL_HTTP1)
        for request in REFUSED_REQUESTS[reason]:
            async with await m.dial() as stream:
                client = harness.Peer(stream)
                await client.send(request + SMUGGLED)
                await client.send_eof()
                got, clean = await client.rest()
                assert got.startswith(b"HTTP/1.1 %d " % status), request
                assert b"\r\ntulle-reason: %b\r\n" % reason.encode() in got, request
                assert b"\r\nconnection: close\r\n" in got, request
                assert got.count(b"\r\ntulle-reason: ") == 1, f"the connection was used again after {request!r}"
                assert clean, f"a reset could overtake the answer to {request!r}"
        assert m.counter("pool_connects_total") == 0, "not even a connection"
        assert {(e.status, e.reason) for e in m.seen.ended} == {(status, reason)}
        assert len(m.seen.ended) == len(REFUSED_REQUESTS[reason])
        # and that this would have been seen: the same proxy sends on what is good
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"
        assert m.counter("pool_connects_total") == 1


# what comes when the head has gone upstream already: one row a kind of fault
LATE = {
    "a size": (b"xyz\r\n", "bad-chunk"),
    "a bare line feed": (b"5\nhello\r\n", "bad-chunk"),
    "the end of a chunk": (b"5\r\nhelloXX", "bad-chunk"),
    "an endless extension": (b"5;" + b"x" * 4097, "chunk-extensions-too-large"),
    "a trailer": (b"0\r\nA : x\r\n\r\n", "bad-trailer"),
    "a trailer that frames": (b"0\r\nContent-Length: 5\r\n\r\n", "forbidden-trailer"),
    "too many trailers": (b"0\r\n" + b"x: y\r\n" * 101 + b"\r\n", "trailers-too-large"),
}


@pytest.mark.trio
@pytest.mark.parametrize("case", LATE)
async def test_a_fault_after_the_head_never_completes_the_request_upstream(mesh, harness, case):
    fault, reason = LATE[case]
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(CHUNKED + b"4\r\nhalf\r\n")
            peer, _ = await app.request(b"half\r\n")
            await client.send(fault + SMUGGLED)
            rest, clean = await peer.rest()
            assert not clean, "the upstream must not take half a request for a whole one"
            assert b"0\r\n" not in rest
            assert SMUGGLED not in rest
            await client.send_eof()
            got, _ = await client.rest()
            assert got.startswith(b"HTTP/1.1 400 ")
            assert b"\r\ntulle-reason: %b\r\n" % reason.encode() in got
            assert got.count(b"HTTP/1.1 ") == 1
        assert m.host.outbound_pool.idle == 0


# --- answers --------------------------------------------------------------------------------------------------------

CHUNKED_ANSWER = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSED_ANSWERS = _by_reason([
    *(
        ((method, _answers.wire(text) + b"\r\n"), reason)
        for method, text, reason in _answers.REFUSED
        if method != "CONNECT"  # test_proxy_connect.py's
    ),
    *((("GET", CHUNKED_ANSWER + body), reason) for body, reason in BROKEN_BODIES),
    (("GET", b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"y" * 64 * 1024)), "head-too-large"),
    (("GET", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"\r\n"), "too-many-fields"),
    (("GET", b"HTTP/1.1 200 %b\r\n\r\n" % (b"x" * 16 * 1024)), "bad-status-line"),
    (("GET", CHUNKED_ANSWER + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * 4096)), "chunk-extensions-too-large"),
    (("GET", CHUNKED_ANSWER + b"0\r\n" + b"x: y\r\n" * 101 + b"\r\n"), "trailers-too-large"),
])  # fmt: skip


def test_the_table_has_every_reason_that_an_upstream_can_give():
    of_requests = {"bad-request-line", "bad-target", "bad-host", "uri-too-long"}
    assert set(REFUSED_ANSWERS) == set(REASONS) - of_requests - {"truncated-body"}


@pytest.mark.trio
@pytest.mark.parametrize("reason", REFUSED_ANSWERS)
async def test_a_refused_answer_is_502_and_its_connection_is_never_used_again(mesh, harness, reason, monkeypatch):
    told = []
    monkeypatch.setattr(harness.log, "handle", lambda record: told.append(str(record.__dict__)))
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            for number, (method, bad) in enumerate(REFUSED_ANSWERS[reason]):
                await client.ask(method)
                peer, _ = await app.request()  # a new connection each time
                await peer.send(bad)
                answer = await client.answer()
                assert (answer.status, answer.reason) == (502, "bad-answer"), bad
                assert m.host.outbound_pool.idle == 0, bad
                assert (await peer.rest())[1] is False, f"not reset after {bad!r}"
                assert m.counter("pool_connects_total") == number + 1
                assert len(m.seen.ended) == number + 1
                assert m.seen.ended[-1].failed
            await client.ask()  # the client's own connection is good
            peer, _ = await app.request()
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"
    assert any(reason in line for line in told), "the log says why"


# --- limits, as they are by default: one below, exactly at, one above -----------------------------------------------


def _line(size):
    return b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"x" * (size - 14))


def _head(size, start=GET):
    return start + b"x: %b\r\n\r\n" % (b"y" * (size - len(start) - 7))


# what -> (the limit, a message of that size, the reason above it)
REQUEST_LIMITS = {
    # RFC 9112 section 3, RFC 9110 section 15.5.15
    "request line": (16 * 1024, _line, "uri-too-long"),
    # RFC 6585 section 5
    "head": (64 * 1024, _head, "head-too-large"),
    "fields": (100, lambda size: GET + b"x: y\r\n" * (size - 1) + b"\r\n", "too-many-fields"),
    # RFC 9112 section 7.1.1: of all chunks together
    "chunk extensions": (
        4096,
        lambda size: CHUNKED + b"1;%b\r\na\r\n0;abcdefghi\r\n\r\n" % (b"x" * (size - 11)),
        "chunk-extensions-too-large",
    ),
    # RFC 9112 section 7.1.2
    "trailer section": (8192, lambda size: CHUNKED + b"0\r\nx: %b\r\n\r\n" % (b"y" * (size - 7)), "trailers-too-large"),
    "trailers": (100, lambda size: CHUNKED + b"0\r\n" + b"x: y\r\n" * size + b"\r\n", "trailers-too-large"),
}


@pytest.mark.trio
@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("limit", REQUEST_LIMITS)
async def test_limits_of_requests(mesh, harness, limit, over):
    size, message, reason = REQUEST_LIMITS[limit]
    async with mesh() as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(message(size + over))
            await client.send_eof()
            got, _ = await client.rest()
        status = STATUS[reason][0] if over > 0 else 200
        assert got.startswith(b"HTTP/1.1 %d " % status)
        assert (b"tulle-reason: %b\r\n" % reason.encode() in got) == (over > 0)
        assert len(app.requests) == (over <= 0)


BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
ANSWER_LIMITS = {
    "status line": (16 * 1024, lambda size: b"HTTP/1.1 200 %b\r\ncontent-length: 0\r\n\r\n" % (b"x" * (size - 13))),
    "head": (64 * 1024, lambda size: _head(size, BODY) + b"ok"),
    "fields": (100, lambda size: BODY + b"x: y\r\n" * (size - 1) + b"\r\nok"),
    "chunk extensions": (4096, lambda size: CHUNKED_ANSWER + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * (size - 1))),
    "trailer section": (8192, lambda size: CHUNKED_ANSWER + b"0\r\nx: %b\r\n\r\n" % (b"y" * (size - 7))),
    "trailers": (100, lambda size: CHUNKED_ANSWER + b"0\r\n" + b"x: y\r\n" * size + b"\r\n"),
}


@pytest.mark.trio
@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("limit", ANSWER_LIMITS)
async def test_limits_of_answers(mesh, harness, limit, over):
    size, message = ANSWER_LIMITS[limit]
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            peer, _ = await app.request()
            await peer.send(message(size + over))
            got, _ = await client.rest()
            assert got.startswith(b"HTTP/1.1 502 " if over > 0 else b"HTTP/1.1 200 ")
            assert (b"tulle-reason: bad-answer\r\n" in got) == (over > 0)
        assert m.host.outbound_pool.idle == (over <= 0)
