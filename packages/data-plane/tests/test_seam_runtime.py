"""What policies are given (Runtime) and where their parts sit, in a whole proxy; with policies of the test's own."""

import gc

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Config, Exchange, Policy, Position, Response, Terms
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio


class Nothing(Config):
    """No settings."""


class Part(Policy[Nothing]):
    """`does(exchange, next, runtime)`, at `position`; `endpoint_does` once a try with the endpoint known."""

    config = Nothing

    def __init__(self, does=None, endpoint_does=None, position=Position.REQUEST, uses_trio=False, direction="outbound"):
        self.does, self.endpoint_does, self.position = does, endpoint_does, position
        self.uses_trio, self.direction = uses_trio, direction

    def build(self, config, next, runtime):
        return self._around(self.does, next, runtime)

    def build_endpoint(self, config, next, runtime):
        return self._around(self.endpoint_does, next, runtime)

    @staticmethod
    def _around(does, next, runtime):
        if does is None:
            return next

        async def handler(exchange):
            return await does(exchange, next, runtime)

        return handler


def of_type(*types):
    return [pb.Policy(type=name, source=f"MeshPolicy default/{name}") for name in types]


BOTH = pytest.mark.parametrize("uses_trio", [False, True], ids=["driver", "trio"])


async def test_every_position_in_its_order_and_endpoint_parts_last(mesh, harness):
    notes = []

    def note(name):
        async def does(exchange, next, runtime):
            notes.append((name, exchange.endpoint is not None))
            return await next(exchange)

        return does

    policies = {p.name.lower(): Part(note(p.name), position=p) for p in reversed(Position)}
    policies["b"] = Part(note("b"), note("b-endpoint"), Position.TRY)
    policies["a"] = Part(None, note("a-endpoint"), Position.TIMEOUT)
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type(*policies))
        async with m.client() as client:
            assert (await client.get()).status == 200
    before = ["PREFLIGHT", "AUTHORIZE", "LIMIT", "REQUEST", "TIMEOUT", "RETRY", "b", "TRY"]
    assert notes == [*[(n, False) for n in before], *[(n, True) for n in ("ENDPOINT", "a-endpoint", "b-endpoint")]]


@BOTH
async def test_a_policy_knows_its_side(mesh, harness, uses_trio):
    sides = []

    async def does(exchange, next, runtime):
        sides.append((runtime.direction, [e.address.port for e in runtime.endpoints.all(exchange.backend)]))
        return await next(exchange)

    policies = {"side": Part(does, uses_trio=uses_trio, direction="both")}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("side"))
        m.table.apply_inbound(pb.Inbound(ports=[pb.InboundPort(port=app.port, policies=of_type("side"))]))
        async with m.client() as client, m.client(Address("127.0.0.1", app.port), "inbound") as other:
            await client.get()
            await other.get()
        assert sides == [("outbound", [app.port]), ("inbound", [])]


@BOTH
async def test_what_a_policy_counts_is_a_counter_of_the_proxy(mesh, harness, uses_trio):
    async def does(exchange, next, runtime):
        runtime.count("greetings_total")
        runtime.count("greetings_total", 2)
        return await next(exchange)

    policies = {"greet": Part(does, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("greet"))
        async with m.client() as client, m.admin() as admin:
            await client.get()
            assert m.counter("greetings_total") == 3
            assert b"tulle_proxy_greetings_total 3" in (await admin.get("/metrics")).body


@BOTH
async def test_requests_wait_for_an_event_that_another_sets(mesh, harness, uses_trio):
    waiting, order = [], []

    async def does(exchange, next, runtime):
        if exchange.path == "/wait":
            waiting.append(runtime.event())
            await waiting[-1].wait()
            await waiting[-1].wait()  # it stays set
        else:
            for event in waiting:
                event.set()
                event.set()
        order.append(exchange.path)
        return await next(exchange)

    policies = {"wait": Part(does, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("wait"))
        async with m.client() as one, m.client() as two, m.client() as three:
            await one.ask(path="/wait")
            await two.ask(path="/wait")
            await m.until(lambda: len(waiting) == 2)
            assert (await three.get("/go")).status == 200
            assert [(await client.answer()).status for client in (one, two)] == [200, 200]
        assert order[0] == "/go"


@BOTH
async def test_background_work_goes_on_beside_its_request_and_what_it_raises_harms_nobody(
    mesh, harness, uses_trio, caplog
):
    async def does(exchange, next, runtime):
        async def beside(copy):
            answer = await next(copy)
            if not isinstance(answer.body, bytes):
                await answer.body.aclose()
            raise KeyError("mine")

        copy = Exchange(exchange.headers.copy())
        copy.method, copy.path, copy.backend = "GET", "/copy", exchange.backend
        runtime.spawn(beside, copy)
        return await next(exchange)

    policies = {"spawn": Part(does, uses_trio=uses_trio, position=Position.TRY)}
    async with mesh(harness.plugins(policies=policies)) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("spawn"))
        async with m.client() as client:
            await client.ask(path="/original")
            peers = {head.split()[1]: peer for peer, head in [await app.request(), await app.request()]}
            await peers[b"/original"].send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            assert (await client.answer()).status == 200, "though the copy has no answer yet"
            assert m.counter("policy_background_failures_total") == 0
            await peers[b"/copy"].send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await m.until(lambda: m.counter("policy_background_failures_total") == 1)
        assert [exchange.path for exchange in m.seen.ended] == ["/original"]
        assert "plugin policy-spawn raised" in caplog.text


@BOTH
async def test_an_ejected_endpoint_is_left_out_until_it_is_readmitted(mesh, harness, uses_trio):
    async def does(exchange, next, runtime):
        endpoints = {e.address.port: e for e in runtime.endpoints.all(exchange.backend)}
        what, _, port = exchange.path[1:].partition("/")
        if what == "eject":
            runtime.endpoints.eject(exchange.backend, endpoints[int(port)], 1000)
            runtime.endpoints.eject("nobody", endpoints[int(port)], 1000)
        elif what == "readmit":
            runtime.endpoints.readmit(exchange.backend, endpoints[int(port)])
            runtime.endpoints.readmit("nobody", endpoints[int(port)])
        return await next(exchange)

    policies = {"eject": Part(does, uses_trio=uses_trio)}
    plugins = harness.plugins(policies=policies)
    async with mesh(plugins) as m, http_upstream() as one, http_upstream() as two:
        await m.service(harness.VIP, one.port, two.port, policies=of_type("eject"))

        async def counts(path):
            before = len(one.requests), len(two.requests)
            async with m.client() as client:
                await client.get(path)
                for _ in range(4):
                    assert (await client.get()).status == 200
            return len(one.requests) - before[0], len(two.requests) - before[1]

        assert await counts(f"/eject/{one.port}") == (0, 5)
        await m.service(harness.VIP, one.port, two.port, policies=of_type("eject"), balancer="round-robin")
        assert (await counts("/"))[0] == 0, "a change of configuration pardons nobody"
        assert sum(await counts(f"/eject/{two.port}")) == 5, "all are ejected: better one that may fail than none"
        await counts(f"/readmit/{one.port}")
        assert await counts("/") == (5, 0)
        await counts(f"/readmit/{two.port}")
        assert sorted(await counts("/")) == [2, 3]


async def test_endpoints_that_had_their_try_are_avoided_while_there_are_others(mesh, harness):
    async def again(exchange, next, runtime):
        for _ in range(3):
            response = await next(exchange)
            exchange.avoid = (*exchange.avoid, exchange.endpoint)
        return response

    # a balancer that would always choose the same one, as ring-hash does
    class First(harness.Turns):
        def pick(self, endpoints, exchange):
            return endpoints[0]

    plugins = harness.plugins(
        policies={"again": Part(again, position=Position.RETRY)}, balancers={"first": lambda c, r: First()}
    )
    async with mesh(plugins) as m, http_upstream() as one, http_upstream() as two:
        await m.service(harness.VIP, one.port, two.port, policies=of_type("again"), balancer="first")
        async with m.client() as client:
            assert (await client.get()).status == 200
        assert (len(one.requests), len(two.requests)) == (2, 1), "each once, then any"


async def test_a_policy_that_builds_nothing_is_not_in_the_way(mesh, harness):
    policies = {"idle": Part(), "crossed": Part(uses_trio=True)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        bare = await m.service(harness.VIP, app.port)
        other = Address("10.96.0.3", 80)
        await m.service(other, app.port, policies=of_type(*policies))
        depths = []
        for address in (harness.VIP, other):
            handler, names = (await m.driver.run(m.table.lookup, address)).handler, []
            while handler is not None:
                names.append(handler.__qualname__)
                cells = dict(zip(handler.__code__.co_freevars, handler.__closure__ or (), strict=True))
                handler = cells["next"].cell_contents if "next" in cells else None
            depths.append(names)
        assert bare is not None
        assert depths[0] == depths[1]


@pytest.mark.parametrize("body", [b"whole", [b"in ", b"pieces"]], ids=["whole", "pieces"])
async def test_a_body_can_be_sent_again_when_its_try_has_failed(mesh, harness, body):
    """What the retry policy relies on: when a try has failed, nobody reads the client's body any more."""

    class Kept:
        def __init__(self, inner):
            self.inner, self.pieces, self.at = inner, [], 0

        async def read(self):
            if self.at == len(self.pieces):
                self.pieces.append(await self.inner.read())
            self.at += 1
            return self.pieces[self.at - 1]

        async def aclose(self):
            await self.inner.aclose()

    async def again(exchange, next, runtime):
        if not isinstance(exchange.body, bytes):
            exchange.body = Kept(exchange.body)
        while True:
            response = await next(exchange)
            if response.status != 503:
                return response
            if not isinstance(response.body, bytes):
                await response.body.aclose()
            if isinstance(exchange.body, Kept):
                exchange.body.at = 0

    answers = iter([Answer(503, body=b"no"), Answer(503, body=b"no"), Answer(200)])
    policies = {"again": Part(again, position=Position.RETRY)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream(lambda r: next(answers)) as app:
        await m.service(harness.VIP, app.port, policies=of_type("again"))
        async with m.client() as client:
            assert (await client.request("PUT", "/", body)).status == 200
        assert [request.body for request in app.requests] == [b"whole" if body == b"whole" else b"in pieces"] * 3


async def test_a_response_of_a_policy_at_the_endpoint_is_an_answer_of_that_try(mesh, harness):
    async def refuses(exchange, next, runtime):
        return Response(503)

    policies = {"no": Part(endpoint_does=refuses, position=Position.REQUEST)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("no"))
        async with m.client() as client:
            assert (await client.get()).status == 503
        assert app.requests == []
        await trio.lowlevel.checkpoint()


@BOTH
async def test_a_lease_is_named_by_policy_and_service_and_lives_as_long_as_the_handler(mesh, harness, uses_trio):
    class Leasing(Part):
        def build(self, config, next, runtime):
            lease = runtime.lease("requests", Terms(5, 60, 1, 2))

            async def handler(exchange):
                return await next(exchange) if not lease.take() else Response(429)

            return handler

    policies = {"leasing": Leasing(uses_trio=uses_trio, direction="both")}
    name = "MeshPolicy default/leasing app-b.default.svc.cluster.local:80 requests 5/60s burst 1 by 2"
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("leasing"))
        async with m.client() as client:
            assert [(await client.get()).status for _ in range(3)] == [200, 200, 429]
            await m.service(harness.VIP, app.port, policies=of_type("leasing"), balancer="round-robin")
            assert (await client.get()).status == 429, "a new handler of the same policy has no new slice"
            assert list(m.host.leases.describe()) == [name]
            await m.service(harness.VIP, app.port)
            assert (await client.get()).status == 200
        gc.collect()
        assert m.host.leases.describe() == {}
        table, port = m.table, pb.InboundPort(port=8080, policies=of_type("leasing"))
        table.apply_inbound(pb.Inbound(ports=[port]))
        assert list(m.host.leases.describe()) == [name.replace("app-b.default.svc.cluster.local:80", "default/:8080")]
