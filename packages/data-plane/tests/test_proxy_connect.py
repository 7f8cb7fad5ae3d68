"""CONNECT (RFC 9110 section 9.3.6) through a whole proxy: a tunnel to where the client went, never to what it names.

"|" stands for CRLF.
"""

import contextlib

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.wire import response as wire_response
from tulle_plugin_api import Config, Policy, Position, Response
from tulle_testkit import echo_upstream

pytestmark = pytest.mark.trio


def wire(text):
    return text.replace("|", "\r\n").encode("latin-1")


CONNECT = wire("CONNECT Example.com:443 HTTP/1.1|Host: example.com:443|Proxy-Authorization: x||")
BEGUN = wire("HTTP/1.1 200 Connection established|Via: p||")
SMUGGLED = wire("GET /admin HTTP/1.1|Host: a||")

both = pytest.mark.parametrize("on", [True, False], ids=["with it", "without it"])


class Nothing(Config):
    """No settings."""


class Edit(Policy):
    """Does `edit(exchange, response)` on the way back, and sends what that returns; `ahead(exchange)` before."""

    config, position, uses_trio = Nothing, Position.REQUEST, False

    def __init__(self, edit=lambda exchange, response: response, ahead=lambda exchange: None):
        self.edit, self.ahead = edit, ahead

    def build(self, config, next, runtime):
        async def handler(exchange):
            self.ahead(exchange)
            return self.edit(exchange, await next(exchange))

        return handler


@pytest.fixture
def asked(mesh, harness):
    """`async with asked(CONNECT) as (m, client, peer):` a request that has reached an upstream."""

    @contextlib.asynccontextmanager
    async def run(request=CONNECT, policy=None):
        made = harness.plugins(policies={"edit": policy} if policy else {})
        policies = [pb.Policy(type="edit", source="test")] if policy else []
        async with mesh(made) as m, m.raw_upstream() as app:
            await m.service(harness.VIP, app.port, policies=policies)
            async with await m.dial() as stream:
                client = harness.Peer(stream)
                await client.send(request)
                peer, _ = await app.request()
                yield m, client, peer

    return run


# --- the tunnel -------------------------------------------------------------------------------------------------------

# fmt: off
HEADS = {
    "1.1": ("CONNECT B:443 HTTP/1.1|Host: B||", "CONNECT b:443 HTTP/1.1|Host: B||"),
    "an address": ("CONNECT [::1]:1 HTTP/1.1|Host: [::1]:1||", "CONNECT [::1]:1 HTTP/1.1|Host: [::1]:1||"),
    # RFC 9112 section 3.2: who sends on in 1.1 needs a Host
    "1.0": ("CONNECT a:443 HTTP/1.0||", "CONNECT a:443 HTTP/1.1|Host: a:443||"),
    # RFC 9110 section 7.6.1, 7.8: it asks for a tunnel already
    "hop-by-hop fields": ("CONNECT a:1 HTTP/1.1|Host: a:1|Connection: upgrade, x|Upgrade: y|X: z|Proxy-Connection: k||",
                          "CONNECT a:1 HTTP/1.1|Host: a:1||"),
}
ANSWERS = {
    "200": ("HTTP/1.1 200 Connection established|Via: p||", "HTTP/1.1 200 OK|Via: p||"),
    "1.0": ("HTTP/1.0 200 x|Connection: keep-alive||", "HTTP/1.1 200 OK||"),
    "close says nothing of a tunnel": ("HTTP/1.1 200 x|Connection: close||", "HTTP/1.1 200 OK||"),
    "any 2xx": ("HTTP/1.1 299 x||", "HTTP/1.1 299 ||"),
    "after interim answers": ("HTTP/1.1 100 x||HTTP/1.1 103 x|A: b||HTTP/1.1 200 x||",
                              "HTTP/1.1 103 Early Hints|A: b||HTTP/1.1 200 OK||"),
}
# fmt: on


@pytest.mark.parametrize("case", HEADS)
async def test_the_request_on_its_way(mesh, harness, case):
    arrives, leaves = map(wire, HEADS[case])
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(arrives + b"ahead")
            peer, head = await app.request()
            assert head == leaves
            await trio.testing.wait_all_tasks_blocked()
            assert peer.seen == b"", "the tunnel's bytes wait until there is one"
            await peer.send(BEGUN)
            assert await peer.exactly(5) == b"ahead"
            peer.close()
            assert await client.rest() == (wire("HTTP/1.1 200 OK|Via: p||"), True)


@pytest.mark.parametrize("case", ANSWERS)
async def test_the_answer_on_its_way(asked, case):
    arrives, leaves = map(wire, ANSWERS[case])
    async with asked() as (m, client, peer):
        await peer.send(arrives + b"early")
        assert await client.exactly(len(leaves) + 5) == leaves + b"early"
        await client.send_eof()
        assert await peer.rest() == (b"", True)
        peer.close()
        assert await client.rest() == (b"", True)
        await m.settled()
        assert m.host.outbound_pool.idle == 0


async def test_a_tunnel_keeps_half_closes_and_is_told_of(asked):
    async with asked() as (m, client, peer):
        await peer.send(BEGUN + b"early")
        await client.until(b"early")
        await client.send(b"ping")
        assert await peer.exactly(4) == b"ping"
        await client.send_eof()
        assert await peer.rest() == (b"", True)
        await peer.send(b"last words")
        await peer.send_eof()
        assert await client.rest() == (b"last words", True)
        await m.settled()
        first, tunnel = m.seen.ended
        assert (first.method, first.path, first.authority) == ("CONNECT", "", "example.com:443")
        assert (first.status, first.protocol) == (200, "http/1.1")
        assert (tunnel.protocol, tunnel.request_bytes, tunnel.response_bytes) == ("tcp", 4, 15)
        assert tunnel.endpoint == first.endpoint


async def test_a_reset_inside_the_tunnel_is_a_reset(asked):
    async with asked() as (_, client, peer):
        await peer.send(BEGUN)
        await client.until()
        peer.reset()
        assert await client.rest() == (b"", False)


async def test_the_application_gets_it_from_its_own_proxy(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        async with await m.dial(harness.Address("127.0.0.1", app.port), "inbound") as stream:
            client = harness.Peer(stream)
            await client.send(CONNECT)
            peer, head = await app.request()
            assert head.startswith(b"CONNECT example.com:443 HTTP/1.1\r\n")
            assert b"Proxy-Authorization: x\r\n" in head, "it is for whoever is the proxy that the client means"
            await peer.send(BEGUN)
            await client.until()
            await client.send_eof()
            assert await peer.rest() == (b"", True)
            peer.close()


# --- no open relay ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
async def test_what_a_request_names_is_never_dialled(mesh, harness, direction):
    async with mesh() as m, m.raw_upstream() as app, echo_upstream() as elsewhere:
        await m.service(harness.VIP, app.port)
        where = harness.VIP if direction == "outbound" else harness.Address("127.0.0.1", app.port)
        for name in (f"127.0.0.1:{elsewhere.port}", f"localhost:{elsewhere.port}", f"[::1]:{elsewhere.port}"):
            async with await m.dial(where, direction) as stream:
                client = harness.Peer(stream)
                await client.send(wire(f"CONNECT {name} HTTP/1.1|Host: {name}||") + b"ahead")
                peer, head = await app.request()
                assert head.startswith(f"CONNECT {name} ".encode()), "who was called decides"
                await peer.send(wire("HTTP/1.1 403 Forbidden|Connection: close|Content-Length: 2||no"))
                assert (await client.rest())[0].endswith(b"\r\n\r\nno")
        assert elsewhere.received == []
        assert m.counter("pool_connects_total") == 3


# --- what is no tunnel ----------------------------------------------------------------------------------------------


@both
async def test_what_follows_a_declined_connect_is_no_request(asked, monkeypatch, on):
    # the client lets somebody choose the tunnel's first bytes, and sends them without waiting
    if not on:
        head = wire_request_head(keep_alive=True)
        monkeypatch.setattr("tulle_data_plane.wire.request._connect", head)
    async with asked(CONNECT + SMUGGLED) as (m, client, peer):
        await peer.send(wire("HTTP/1.1 405 x|Content-Length: 2||no"))
        if not on:
            assert await peer.until() == SMUGGLED, "somebody's request that nobody has made"
            await peer.send(wire("HTTP/1.1 200 x|Content-Length: 0||"))
            await client.until(b"200 OK\r\n")
            return
        got, clean = await client.rest()
        assert got == wire("HTTP/1.1 405 Method Not Allowed|Content-Length: 2|connection: close||no")
        assert clean
        await m.settled()
        assert peer.seen == b""
        assert m.host.outbound_pool.idle == 1, "the upstream has heard nothing of them"
        assert [e.status for e in m.seen.ended] == [405]


def wire_request_head(keep_alive):
    from tulle_data_plane.wire.messages import RequestHead

    def made(target, authority, version, block, facts):
        return RequestHead("CONNECT", target, "", authority, version, block, facts.framing, keep_alive)

    return made


NO_TUNNELS = {
    "a length": "HTTP/1.1 200 OK|Content-Length: 2||ok",
    "a length of 0": "HTTP/1.1 200 OK|Content-Length: 0||",
    "chunks": "HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||",
    "204": "HTTP/1.1 204 No Content||",
    "101": "HTTP/1.1 101 x|Connection: upgrade|Upgrade: websocket||",
}


@pytest.mark.parametrize("case", NO_TUNNELS)
async def test_an_answer_that_takes_connect_for_an_ordinary_request(asked, case):
    async with asked(CONNECT + SMUGGLED) as (m, client, peer):
        await peer.send(wire(NO_TUNNELS[case]))
        got, _ = await client.rest()
        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"\r\ntulle-reason: bad-answer\r\n" in got
        assert await peer.rest() == (b"", False), "not a byte of what the client believes to be its tunnel"
        assert m.host.outbound_pool.idle == 0


async def test_without_it_requests_in_the_tunnel_pass_every_policy_by(asked, monkeypatch):
    monkeypatch.setattr(wire_response, "_no_answer_instead", lambda facts: None)
    async with asked(CONNECT + SMUGGLED, Edit()) as (_, client, peer):
        await peer.send(wire(NO_TUNNELS["a length of 0"]))
        await client.until()
        assert await peer.until() == SMUGGLED
        peer.close()
        await client.rest()


async def test_an_upstream_that_goes_away_without_an_answer(asked):
    async with asked() as (_, client, peer):
        peer.close()
        got, _ = await client.rest()
        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"\r\ntulle-reason: upstream-reset\r\n" in got


async def test_a_connect_with_a_body_goes_nowhere(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(wire("CONNECT a:1 HTTP/1.1|Host: a:1|Content-Length: 2||ok"))
            await client.send_eof()
            assert (await client.rest())[0].startswith(b"HTTP/1.1 400 ")
        assert m.counter("pool_connects_total") == 0


# --- policies -----------------------------------------------------------------------------------------------------


def refuse(exchange, response):
    response.status = 403
    return response


def instead(exchange, response):
    return Response(403)


@pytest.mark.parametrize("edit", [refuse, instead])
async def test_a_policy_that_refuses_leaves_no_tunnel(asked, edit):
    async with asked(CONNECT + b"ahead", Edit(edit)) as (m, client, peer):
        await peer.send(BEGUN)
        got, clean = await client.rest()
        assert (got[:13], clean) == (b"HTTP/1.1 403 ", True)
        assert (await peer.rest())[0] == b""
        await m.settled()
        assert [(e.status, e.protocol) for e in m.seen.ended] == [(403, "http/1.1")]


async def test_a_policy_that_refuses_a_change_of_protocol_leaves_no_tunnel(asked):
    upgrade = wire("GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: x||")
    async with asked(upgrade, Edit(refuse)) as (_, client, peer):
        await peer.send(wire("HTTP/1.1 101 x|Connection: upgrade|Upgrade: x||"))
        assert (await client.until()).startswith(b"HTTP/1.1 403 ")
        assert (await peer.rest())[0] == b""


async def test_a_policy_that_says_200_by_itself_is_a_policy_error(mesh, harness):
    class Yes(Edit):
        def build(self, config, next, runtime):
            async def handler(exchange):
                return Response(200, body=b"yes")

            return handler

    async with mesh(harness.plugins(policies={"edit": Yes()})) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=[pb.Policy(type="edit", source="test")])
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(CONNECT + b"ahead")
            got, _ = await client.rest()
            assert got == wire(
                "HTTP/1.1 500 Internal Server Error|tulle-reason: policy-error|content-length: 0|connection: close||"
            )
        await m.settled()
        assert [(e.status, e.reason) for e in m.seen.ended] == [(500, "policy-error")]


async def test_a_policy_does_not_frame_a_tunnel(asked):
    def frame(exchange, response):
        response.headers.set("content-length", "5")
        return response

    async with asked(policy=Edit(frame)) as (_, client, peer):
        await peer.send(wire("HTTP/1.1 200 x||"))
        assert await client.until() == wire("HTTP/1.1 200 OK||")
        peer.close()
        assert await client.rest() == (b"", True)


@pytest.mark.parametrize(("name", "value"), [("path", "/x"), ("authority", "nowhere"), ("authority", "a:1/x")])
async def test_a_policy_that_makes_another_target_of_it_is_a_policy_error(mesh, harness, name, value):
    policy = Edit(ahead=lambda exchange: setattr(exchange, name, value))
    async with mesh(harness.plugins(policies={"edit": policy})) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=[pb.Policy(type="edit", source="test")])
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(CONNECT)
            got, _ = await client.rest()
            assert got.startswith(b"HTTP/1.1 500 ")
            assert b"\r\ntulle-reason: policy-error\r\n" in got


# --- routes -------------------------------------------------------------------------------------------------------


async def test_routes_choose_among_the_service_s_backends(mesh, harness):
    def to(backend):
        return pb.Route(name=backend, backends=[pb.WeightedBackend(backend=backend, weight=1)])

    async with mesh() as m, m.raw_upstream() as one, m.raw_upstream() as two:
        places = {"default/a:80": [("127.0.0.1", one.port)], "default/b:80": [("127.0.0.1", two.port)]}
        rows = [pb.RouteMatch(route=1, method="CONNECT"), pb.RouteMatch(route=0)]
        routes = [to("default/a:80"), to("default/b:80")]
        await m.apply(harness.destination(harness.VIP, places, routes=routes, matches=rows))
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(CONNECT)
            peer, _ = await two.request()
            await peer.send(BEGUN)
            await client.until()
            peer.close()
            assert await client.rest() == (b"", True)
