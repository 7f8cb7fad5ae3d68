"""Requests balanced one by one; endpoints that come, go and refuse; routes; configuration swapped under way."""

from collections import Counter
from contextlib import AsyncExitStack

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Balancer
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def upstreams(stack, count):
    return [
        await stack.enter_async_context(http_upstream(lambda request, n=n: Answer(body=str(n).encode())))
        for n in range(count)
    ]


def unused_port(harness):
    """A port that refuses connections, kept from others for as long as the test runs."""
    sock = harness.socket.socket()
    sock.bind(("127.0.0.1", 0))  # bound and not listening
    return sock, sock.getsockname()[1]


@pytest.fixture
def refusing(harness):
    socks = [unused_port(harness) for _ in range(4)]
    yield [port for _, port in socks]
    for sock, _ in socks:
        sock.close()


# --- requests, not connections --------------------------------------------------------------------------------------


async def test_requests_of_one_connection_go_to_each_endpoint_in_turn(mesh, harness):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        apps = await upstreams(stack, 3)
        await m.service(harness.VIP, *[app.port for app in apps])
        async with m.client() as client:
            bodies = [(await client.get()).body for _ in range(300)]
        assert Counter(bodies) == {b"0": 100, b"1": 100, b"2": 100}
        assert [app.connections for app in apps] == [1, 1, 1]


async def test_weights_are_kept(mesh, harness):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        m.host.random.seed(1)
        stable, canary = await upstreams(stack, 2)
        await m.service(harness.VIP)
        await m.apply(
            harness.destination(
                harness.VIP,
                {"default/app-b:80": [("127.0.0.1", stable.port)], "default/app-b2:80": [("127.0.0.1", canary.port)]},
                weights={"default/app-b:80": 90, "default/app-b2:80": 10},
            )
        )
        async with m.client() as client:
            bodies = Counter([(await client.get()).body for _ in range(2000)])
        # a binomial's standard deviation is 13.4 here: six of them
        assert abs(bodies[b"1"] - 200) < 80, bodies
        assert {e.route for e in m.seen.ended} == {"default/split/0"}
        assert Counter(e.backend for e in m.seen.ended)["default/app-b2:80"] == bodies[b"1"]


async def test_a_weight_of_zero_gets_nothing(mesh, harness):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        (app,) = await upstreams(stack, 1)
        await m.apply(harness.destination(
            harness.VIP, {"a": [("127.0.0.1", app.port)], "b": []}, weights={"b": 0, "a": 1},
        ))
        async with m.client() as client:
            for _ in range(20):
                assert (await client.get()).status == 200


async def test_weights_that_are_all_zero_are_no_backend(mesh, harness):
    async with mesh() as m:
        await m.apply(harness.destination(harness.VIP, {"a": [("127.0.0.1", 1)]}, weights={"a": 0}))
        async with m.client() as client:
            answer = await client.get()
            assert (answer.status, answer.reason) == (500, "no-backend")


# --- nobody there ---------------------------------------------------------------------------------------------------


async def test_no_endpoints(mesh, harness):
    async with mesh() as m:
        await m.service(harness.VIP)
        async with m.client() as client:
            answer = await client.get()
            assert (answer.status, answer.reason) == (503, "no-endpoints")
            assert answer.body.startswith(b"no-endpoints: default/app-b:80 has no ready endpoint")
            assert (await client.get()).status == 503, "the client's connection is none the worse"
        assert [(e.status, e.reason, e.failed) for e in m.seen.ended] == [(503, "no-endpoints", True)] * 2


async def test_a_head_request_is_failed_without_a_body(mesh, harness):
    async with mesh() as m:
        await m.service(harness.VIP)
        async with m.client() as client:
            answer = await client.request("HEAD", "/")
            assert (answer.status, answer.reason, answer.body) == (503, "no-endpoints", b"")
            assert (await client.get()).status == 503


async def test_an_unresolved_backend_is_an_error_of_the_route(mesh, harness):
    """Gateway API: 500 for the share of a backend that does not exist."""
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        m.host.random.seed(2)
        (app,) = await upstreams(stack, 1)
        await m.apply(harness.destination(
            harness.VIP, {"a": [("127.0.0.1", app.port)], "typo": []}, weights={"a": 1, "typo": 1}, unresolved=["typo"],
        ))
        async with m.client() as client:
            answers = [await client.get() for _ in range(200)]
        assert {(a.status, a.reason) for a in answers} == {(200, ""), (500, "no-backend")}
        assert 60 < sum(a.status == 500 for a in answers) < 140


async def test_a_refused_connection_goes_elsewhere_and_ejects(mesh, harness, refusing):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        (app,) = await upstreams(stack, 1)
        await m.service(harness.VIP, refusing[0], app.port)
        async with m.client() as client:
            for _ in range(20):
                assert (await client.get()).status == 200
        assert len(app.requests) == 20
        assert [e.attempts for e in m.seen.ended] == [2] + [1] * 19, "one request found out; the others were spared"
        state = m.proxy.describe()["destinations"][str(harness.VIP)]["backends"]["default/app-b:80"]["endpoints"]
        assert state[f"127.0.0.1:{refusing[0]}"]["state"] == "ejected"
        assert state[f"127.0.0.1:{app.port}"]["state"] == "ready"


async def test_a_post_that_reached_nobody_may_go_elsewhere(mesh, harness, refusing):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        app = await stack.enter_async_context(http_upstream())
        await m.service(harness.VIP, refusing[0], app.port)
        async with m.client() as client:
            assert (await client.request("POST", "/", b"pay")).status == 200
        async with m.client() as client:  # as well as one whose body is still arriving
            assert (await client.request("POST", "/", [b"pay", b"more"])).status == 200
        assert [request.body for request in app.requests] == [b"pay", b"paymore"]


async def test_when_all_refuse_the_client_is_told(mesh, harness, refusing):
    async with mesh() as m:
        await m.service(harness.VIP, *refusing[:2])
        async with m.client() as client:
            for _ in range(3):  # also when both are ejected: better to try than to fail for certain
                answer = await client.get()
                assert (answer.status, answer.reason) == (503, "connect-failed")
        assert [e.attempts for e in m.seen.ended] == [2, 2, 2]


async def test_an_ejected_endpoint_is_tried_again_when_it_is_the_last(mesh, harness, refusing):
    async with mesh() as m:
        await m.service(harness.VIP, refusing[0])
        async with m.client() as client:
            assert (await client.get()).status == 503
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            async with listener:
                await m.service(harness.VIP, listener.socket.getsockname()[1])
                await client.ask()
                stream = await listener.accept()
                await stream.send_all(OK)
                assert (await client.answer()).status == 200
                stream.socket.close()


async def test_an_app_that_refuses_its_proxy_makes_the_client_go_elsewhere(mesh, harness, refusing):
    """Two proxies: the one at the server says that the application was not reached, so the request may be repeated."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(mesh(pod_ip="10.1.0.8"))
        client_side = await stack.enter_async_context(mesh())
        (app,) = await upstreams(stack, 1)
        server.destinations["127.0.0.1"] = harness.Address("127.0.0.1", refusing[0])
        await client_side.service(harness.VIP, server.proxy.ports["inbound"], app.port, meshed=True)
        async with client_side.client() as client:
            for _ in range(10):
                answer = await client.request("POST", "/", b"once")
                assert (answer.status, answer.reason) == (200, "")
        assert len(app.requests) == 10
        assert [(e.status, e.reason) for e in server.seen.ended] == [(503, "app-refused-connection")]


@pytest.mark.parametrize(("said", "reason"), [(b"", "upstream-reset"), (b"nonsense\r\n\r\n", "bad-answer")])
async def test_an_app_that_breaks_off_behind_its_proxy_is_what_it_would_be_without(mesh, harness, said, reason):
    """A failure at the client's proxy, which retry takes for one ("reset"), and no answer like any other 502."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(mesh(pod_ip="10.1.0.8"))
        client_side = await stack.enter_async_context(mesh())
        app = await stack.enter_async_context(client_side.raw_upstream())
        server.destinations["127.0.0.1"] = harness.Address("127.0.0.1", app.port)
        await client_side.service(harness.VIP, server.proxy.ports["inbound"], meshed=True)
        async with client_side.client() as client:
            await client.ask("POST")
            peer, _ = await app.request()
            await peer.send(said)
            peer.close()
            answer = await client.answer()
            assert (answer.status, answer.reason) == (502, reason)
        await client_side.settled()
        assert [(e.status, e.reason) for e in client_side.seen.ended] == [(502, reason)]


async def test_without_a_proxy_at_its_side_nobodys_word_is_taken_for_it(mesh, harness):
    """The same header from an application is just its answer."""
    def answer(request):
        return Answer(503, (("tulle-reason", "app-refused-connection"),))

    async with mesh() as m, http_upstream(answer) as app:
        await m.service(harness.VIP, app.port, app.port)
        async with m.client() as client:
            assert (await client.request("POST", "/", b"once")).status == 503
        assert len(app.requests) == 1


async def test_with_most_endpoints_ejected_all_are_used_and_no_request_is_lost(mesh, harness, refusing):
    """Panic costs tries and no answers: the second try of a request goes to who is well."""
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        (app,) = await upstreams(stack, 1)
        await m.service(harness.VIP, *refusing, app.port)
        async with m.client() as client:
            for _ in range(30):
                assert (await client.get()).status == 200
        assert len(app.requests) == 30
        # were they left alone it would be 34: each is found out once
        assert sum(e.attempts for e in m.seen.ended) >= 40


async def test_without_panic_the_few_that_are_left_carry_all(mesh, harness, refusing):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh())
        (app,) = await upstreams(stack, 1)
        await m.service(harness.VIP, *refusing[:3], app.port, balancer_config='{"panic": 0}')
        async with m.client() as client:
            for _ in range(20):
                assert (await client.get()).status == 200
        # whom nobody has asked cannot be known to refuse; and an ejection ends, on a slow machine even here
        assert sum(e.attempts for e in m.seen.ended) < 30


async def test_the_own_zone_is_preferred(mesh, harness):
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh(zone="here"))
        near, far = await upstreams(stack, 2)
        message = harness.destination(
            harness.VIP, [("127.0.0.1", near.port), ("127.0.0.1", far.port)], balancer_config='{"prefer_zone": {}}'
        )
        for endpoint, zone in zip(message.backends[0].endpoints, ["here", "there"], strict=True):
            endpoint.zone = zone
        await m.apply(message)
        async with m.client() as client:
            assert {(await client.get()).body for _ in range(20)} == {b"0"}


# --- endpoints come and go ------------------------------------------------------------------------------------------


class Counting(Balancer):
    """Which of its calls came, by instance."""

    made = 0

    def __init__(self):
        type(self).made += 1
        self.calls = []

    def pick(self, endpoints, exchange):
        self.calls.append(len(endpoints))
        return endpoints[0]


async def test_a_change_of_endpoints_keeps_the_balancer(mesh, harness):
    Counting.made = 0
    counting = []
    balancers = {"round-robin": lambda config, runtime: counting.append(Counting()) or counting[-1]}
    async with AsyncExitStack() as stack:
        m = await stack.enter_async_context(mesh(harness.plugins(balancers=balancers)))
        apps = await upstreams(stack, 2)
        await m.service(harness.VIP, apps[0].port)
        async with m.client() as client:
            assert (await client.get()).body == b"0"
            await m.service(harness.VIP, apps[0].port, apps[1].port)
            await client.get()
            await m.service(harness.VIP, apps[1].port)
            assert (await client.get()).body == b"1"
        assert Counting.made == 1
        assert counting[0].calls == [1, 2, 1]


async def test_an_endpoint_that_leaves_has_its_kept_connections_closed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK)
            await client.answer()
            assert m.host.outbound_pool.idle == 1
            await m.service(harness.VIP)
            assert await peer.rest() == (b"", True), "an orderly end: the server may finish its drain"
            assert m.host.outbound_pool.idle == 0


async def test_an_endpoint_that_leaves_with_a_change_of_routes_has_its_kept_connections_closed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK)
            await client.answer()
            await m.apply(harness.destination(harness.VIP, {"other": []}))
            assert await peer.rest() == (b"", True)


async def test_a_request_under_way_to_an_endpoint_that_leaves_is_finished_and_its_connection_closed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await m.service(harness.VIP)
            await peer.send(OK)
            assert (await client.answer()).body == b"ok"
            assert await peer.rest() == (b"", True), "nobody will use it again"
            await m.service(harness.VIP, app.port)  # it is back: as good as any
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK)
            await client.answer()
        assert m.host.outbound_pool.idle == 1


async def test_a_destination_that_leaves_the_mesh_has_its_kept_connections_closed(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(OK)
            await client.answer()
            await m.apply(pb.Destination(address=str(harness.VIP), known=False))
            assert await peer.rest() == (b"", True)


# --- configuration swapped under way --------------------------------------------------------------------------------


async def test_a_request_in_flight_finishes_on_the_old_configuration(mesh, harness):
    async with mesh() as m, m.raw_upstream() as old, http_upstream(lambda request: Answer(body=b"new")) as new:
        await m.service(harness.VIP, old.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await old.request()
            # another backend and a route: the handlers are swapped whole
            await m.apply(harness.destination(harness.VIP, {"v2": [("127.0.0.1", new.port)]}, weights={"v2": 1}))
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
            await peer.send(b"old")
            assert (await client.answer()).body == b"old"
            assert (await client.get()).body == b"new", "the next request of the same connection is on the new one"
        assert [e.backend for e in m.seen.ended] == ["default/app-b:80", "v2"]


async def test_open_connections_to_a_destination_that_leaves_the_mesh_pass_through(mesh, harness):
    async with mesh() as m, http_upstream() as mine, http_upstream(lambda _: Answer(body=b"original")) as other:
        address = Address("127.0.0.1", other.port)
        await m.service(address, mine.port)
        async with m.client(address) as client:
            assert (await client.get()).body == b"ok"
            await m.apply(pb.Destination(address=str(address), known=False))
            answer = await client.get()
            assert (answer.status, answer.body) == (200, b"original")


# --- refused configurations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"balancer": "least-load"}, "in this proxy balancer 'least-load' is not installed; there are round-robin"),
        ({"balancer_config": "{"}, "configuration of balancer round-robin is not JSON"),
        ({"balancer_config": "[1]"}, r"spec\.config: expected a mapping, got \[1\]"),
        ({"balancer_config": '{"panic": 101}'}, r"balancer round-robin: spec\.config\.panic: percent, 0 to 100"),
        ({"balancer_config": '{"slow_start": {"windov": "1s"}}'}, "did you mean 'window'"),
        ({"policies": [pb.Policy(type="fly", source="MeshPolicy a/b")]}, "a/b: in this proxy policy 'fly' is not"),
        ({"routes": [pb.Route(), pb.Route()]}, "2 routes"),
        ({"routes": [pb.Route(name="r", backends=[pb.WeightedBackend(backend="x", weight=1)])]}, "'x'"),
        ({"backends": [pb.Backend(name="b", endpoints=[pb.Endpoint(address="app-b.local", port=1)])]}, "app-b.local"),
        ({"backends": [pb.Backend(name="b", endpoints=[pb.Endpoint(address="10.0.0.1", port=70000)])]}, "70000"),
        ({"backends": [pb.Backend(name="b"), pb.Backend(name="b")]}, "twice"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_what_cannot_be_run_is_refused_whole(mesh, harness, change, says):
    async with mesh() as m, http_upstream() as app:
        target = await m.service(harness.VIP, app.port)
        before = target.handler, target.routed, dict(target.backends)
        bad = harness.destination(harness.VIP, [("127.0.0.1", 9)])
        for name, value in change.items():
            if isinstance(value, str):
                setattr(bad, name, value)
            else:
                bad.ClearField(name)
                getattr(bad, name).extend(value)
        with pytest.raises(harness.Rejected, match=says.replace("(", r"\(")):
            await m.apply(bad)
        assert (target.handler, target.routed, target.backends) == before
        async with m.client() as client:
            assert (await client.get()).status == 200
