"""Routes in a whole proxy: many rules, filters, what is kept when they change, and configurations that cannot be."""

import pytest
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Config, Policy, Position
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

OWN, OTHER = "default/app-b:80", "default/app-b2:80"


def exact(route, path):
    return pb.RouteMatch(route=route, path=pb.PathMatch(type=pb.MATCH_TYPE_EXACT, value=path))


def to(backend, name="default/r/0", weight=1, **more):
    return pb.Route(name=name, backends=[pb.WeightedBackend(backend=backend, weight=weight)], **more)


class Count(Config):
    pass


class Counter(Policy):
    """Counts the requests that pass each handler which was built of it."""

    config = Count
    uses_trio = False

    def __init__(self, position=Position.REQUEST):
        self.position = position
        self.built = []

    def build(self, config, next, runtime):
        seen = []
        self.built.append(seen)

        async def handler(exchange):
            seen.append(exchange.path)
            return await next(exchange)

        return handler


@pytest.fixture
def shop(harness, mesh):
    """`async with shop() as (m, apply, own, other):` two backends, a server each."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def run(**policies):
        async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as own, http_upstream() as other:

            async def apply(*routes, matches=(), **more):
                places = {OWN: [("127.0.0.1", own.port)], OTHER: [("127.0.0.1", other.port)]}
                return await m.apply(harness.destination(harness.VIP, places, routes=routes, matches=matches, **more))

            yield m, apply, own, other

    return run


async def test_the_first_match_that_fits_decides_and_none_is_404(shop):
    async with shop() as (m, apply, own, other):
        await apply(to(OWN, "default/r/0"), to(OTHER, "default/r/1"), matches=[exact(0, "/a"), exact(1, "/b")])
        async with m.client() as client:
            assert [(await client.get(path)).status for path in ("/a", "/b", "/c")] == [200, 200, 404]
            assert (await client.get("/c")).reason == "no-route"
        assert (len(own.requests), len(other.requests)) == (1, 1)
        await m.settled()
        assert [exchange.route for exchange in m.seen.ended] == ["default/r/0", "default/r/1", "", ""]


async def test_a_change_of_routes_is_in_force_from_the_next_request_of_a_connection(shop):
    async with shop() as (m, apply, own, other):
        await apply(to(OWN), matches=[pb.RouteMatch()])
        async with m.client() as client:
            await client.get("/")
            await apply(to(OTHER), matches=[pb.RouteMatch()])
            await client.get("/")
        assert (len(own.requests), len(other.requests)) == (1, 1)


async def test_balancers_and_policies_outlive_a_change_of_weights_matches_and_filters(shop):
    counter = Counter()
    spec = [pb.Policy(type="count", source="t")]
    async with shop(count=counter) as (_m, apply, _own, _other):
        target = await apply(to(OWN), matches=[pb.RouteMatch()], policies=spec)
        before = dict(target.backends)
        rewrite = pb.Filter(rewrite=pb.Rewrite(path=pb.PathEdit(full="/new")))
        again = await apply(
            to(OTHER, weight=5), to(OWN, "default/r/1"), matches=[exact(0, "/a"), pb.RouteMatch(route=1)], policies=spec
        )
        assert all(again.backends[name] is before[name] for name in before)
        assert len(counter.built) == 1
        await apply(to(OTHER, filters=[rewrite]), matches=[pb.RouteMatch()], policies=spec)
        assert again.backends[OWN] is before[OWN]
        # with filters there is a place for them in the chain, so that it is another one
        assert len(counter.built) == 2
        other_policy = [pb.Policy(type="count", source="other")]
        await apply(to(OWN), matches=[pb.RouteMatch()], policies=other_policy)
        assert len(counter.built) == 3


async def test_rules_share_the_services_policies_and_have_their_own(shop):
    counter = Counter()
    service, own_policy = [pb.Policy(type="count", source="service")], [pb.Policy(type="count", source="rule")]
    async with shop(count=counter) as (m, apply, _, __):
        routes = [to(OWN, f"default/r/{n}") for n in range(3)]
        routes += [to(OWN, "default/r/3", policies=own_policy), to(OWN, "default/r/4", without_policies=["count"])]
        await apply(*routes, matches=[exact(n, f"/{n}") for n in range(5)], policies=service)
        async with m.client() as client:
            for number in range(5):
                assert (await client.get(f"/{number}")).status == 200
        assert counter.built == [["/0", "/1", "/2"], ["/3"]]


@pytest.mark.parametrize(
    ("position", "seen"), [(Position.AUTHORIZE, ["/old"]), (Position.REQUEST, ["/old"]), (Position.TIMEOUT, ["/new"])]
)
async def test_filters_come_after_what_refuses_and_before_what_times(shop, position, seen):
    counter = Counter(position)
    async with shop(count=counter) as (m, apply, own, _):
        rewrite = pb.Filter(rewrite=pb.Rewrite(path=pb.PathEdit(full="/new")))
        spec = [pb.Policy(type="count", source="t")]
        await apply(to(OWN, filters=[rewrite]), matches=[pb.RouteMatch()], policies=spec)
        async with m.client() as client:
            await client.get("/old")
        assert counter.built == [seen]
        assert own.requests[0].target == "/new"


async def test_a_redirect_needs_no_backend_and_leaves_a_body_unread(shop):
    async with shop() as (m, apply, own, _):
        route = pb.Route(name="default/r/0", filters=[pb.Filter(redirect=pb.Redirect(scheme="https", status=308))])
        await apply(route, matches=[pb.RouteMatch()])
        async with m.client() as client:
            answer = await client.request("POST", "/x", [b"a" * 100, b"b"])
            assert (answer.status, answer.headers["location"]) == (308, "https://app-b/x")
        assert not own.requests


async def test_a_session_goes_on_elsewhere_when_its_endpoint_refuses(shop, harness):
    async with shop() as (m, _apply, own, other):
        own.answer = lambda request: Answer(200, body=b"own")
        other.answer = lambda request: Answer(200, body=b"other")
        route = to(OWN, session=pb.Session(name="s"))
        both = {OWN: [("127.0.0.1", own.port), ("127.0.0.2", own.port)]}  # nobody listens on the second one
        await m.apply(harness.destination(harness.VIP, both, routes=[route], matches=[pb.RouteMatch()]))
        async with m.client() as client:
            for _ in range(4):
                answer = await client.get("/")
                assert (answer.status, answer.body) == (200, b"own")
            token = answer.headers["set-cookie"].partition(";")[0]
            assert "set-cookie" not in (await client.get("/", cookie=token)).headers


WRONG = [
    ([to(OWN), to(OTHER, "x")], [], "2 routes for"), ([to(OWN)], [exact(1, "/")], "leads to route 1"),
    ([to("nowhere")], [pb.RouteMatch()], "names the backend 'nowhere'"),
    ([to(OWN)], [pb.RouteMatch(path=pb.PathMatch(type=3, value="("))], 'without ")"'),
    ([to(OWN, filters=[pb.Filter()])], [pb.RouteMatch()], "a filter that this proxy does not know"),
    ([to(OWN, filters=[pb.Filter(policy=pb.Policy(type="fnord", source="me"))])], [pb.RouteMatch()], "'fnord' is not"),
]  # fmt: skip


@pytest.mark.parametrize(("routes", "matches", "words"), WRONG)
async def test_what_cannot_be_run_is_refused_whole_and_the_old_stays(shop, harness, routes, matches, words):
    async with shop() as (m, apply, _own, _):
        await apply(to(OWN), matches=[pb.RouteMatch()])
        with pytest.raises(harness.Rejected) as error:
            await apply(*routes, matches=matches)
        assert words in str(error.value)
        async with m.client() as client:
            assert (await client.get("/")).status == 200


async def test_bytes_that_are_no_http_go_where_they_would_go_without_routes(shop, harness):
    async with shop() as (m, _apply, _, __), m.raw_upstream() as upstream:
        places = {OWN: [("127.0.0.1", upstream.port)], OTHER: [("127.0.0.1", 9)]}
        message = harness.destination(harness.VIP, places, protocol=pb.PROTOCOL_OPAQUE)
        message.routes.append(to(OTHER))
        message.matches.append(exact(0, "/a"))
        await m.apply(message)
        async with await m.dial() as stream:
            await stream.send_all(b"\x00hello")
            peer = await upstream.accept()
            assert await peer.exactly(6) == b"\x00hello"
            await stream.send_eof()
            assert await peer.rest() == (b"", True)
            await peer.send_eof()
            assert await stream.receive_some(1) == b""


async def test_a_pods_own_labels_come_with_its_inbound_configuration(shop):
    async with shop() as (m, apply, own, other):
        source = pb.SourceMatch(labels={"team": "beta"})
        await apply(
            to(OTHER), to(OWN, "default/r/1"), matches=[pb.RouteMatch(source=source), pb.RouteMatch(route=1)]
        )
        async with m.client() as client:
            await client.get("/")
            m.table.apply_inbound(pb.Inbound(labels={"team": "beta"}))
            await client.get("/")
        assert (len(own.requests), len(other.requests)) == (1, 1)
