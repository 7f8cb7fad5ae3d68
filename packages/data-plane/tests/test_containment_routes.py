"""Policies that misbehave in routes: filters have their guard, and work beside requests ends with its chain."""

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.background import LINGER_SECONDS
from tulle_plugin_api import Config, Policy, Position
from tulle_testkit import http_upstream

pytestmark = pytest.mark.trio

OWN = "default/app-b:80"
SPEC = pb.Policy(type="rude", source="MeshPolicy default/rude")


class Nothing(Config):
    """No settings."""


class Raising(Policy[Nothing]):
    """Raises for each request."""

    config, uses_trio = Nothing, False

    def __init__(self, opens, position):
        self.opens, self.position = opens, position

    def on_failure(self, config):
        return "open" if self.opens else "closed"

    def build(self, config, next, runtime):
        async def handler(exchange):
            raise ValueError("mine")

        return handler


class Waiting(Policy[Nothing]):
    """Has one task under way for each handler that was built of it."""

    config, uses_trio = Nothing, False

    def __init__(self):
        self.running = 0

    async def wait(self, runtime):
        self.running += 1
        try:
            await runtime.event().wait()
        finally:
            self.running -= 1

    def build(self, config, next, runtime):
        runtime.spawn(self.wait, runtime)

        async def handler(exchange):
            return await next(exchange)

        return handler


class Refusing(Policy[Nothing]):
    """Cannot be built."""

    config, uses_trio = Nothing, False

    def build(self, config, next, runtime):
        raise ValueError("no")


def rule(number=0, **more):
    return pb.Route(name=f"default/r/{number}", backends=[pb.WeightedBackend(backend=OWN, weight=1)], **more)


def of(*types):
    return [pb.Filter(policy=pb.Policy(type=name, source=f"MeshPolicy default/{name}")) for name in types]


def exact(number):
    return pb.RouteMatch(route=number, path=pb.PathMatch(type=pb.MATCH_TYPE_EXACT, value=f"/{number}"))


def destination(harness, *routes, policies=()):
    matches = [exact(number) for number in range(len(routes))]
    places = {OWN: [("127.0.0.1", 1)]}
    return harness.destination(harness.VIP, places, routes=routes, matches=matches, policies=policies)


async def settled():
    for _ in range(20):
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("position", [Position.REQUEST, Position.TRY], ids=["above retry", "below retry"])
@pytest.mark.parametrize("opens", [True, False], ids=["open", "closed"])
async def test_a_filters_policy_has_its_guard(mesh, harness, opens, position):
    async with mesh(harness.plugins(policies={"rude": Raising(opens, position)})) as m, http_upstream() as app:
        places = {OWN: [("127.0.0.1", app.port)]}
        routes, matches = [rule(filters=of("rude"))], [pb.RouteMatch()]
        await m.apply(harness.destination(harness.VIP, places, routes=routes, matches=matches))
        async with m.client() as client:
            answer = await client.get()
        assert (answer.status, answer.reason) == ((200, "") if opens else (500, "policy-error"))
        assert m.counter('plugin_failures_total{plugin="policy-rude",what="raised"}') == 1


async def test_what_a_chain_has_under_way_outlives_a_change_that_keeps_the_chain(mesh, harness):
    policy = Waiting()
    async with mesh(harness.plugins(policies={"rude": policy})) as m:
        await m.apply(destination(harness, rule(0), policies=[SPEC]))
        await m.until(lambda: policy.running == 1)
        await m.apply(destination(harness, rule(0), rule(1), policies=[SPEC]))  # both rules share it
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await settled()
        assert policy.running == 1, "the chain is still in force"
        await m.apply(destination(harness, rule(0, without_policies=["rude"]), policies=[SPEC]))
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await m.until(lambda: policy.running == 0)


async def test_what_a_filter_has_under_way_ends_when_its_rule_is_replaced(mesh, harness):
    policy = Waiting()
    async with mesh(harness.plugins(policies={"rude": policy})) as m:
        await m.apply(destination(harness, rule(0, filters=of("rude"))))
        await m.until(lambda: policy.running == 1)
        await m.apply(destination(harness, rule(0)))
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await m.until(lambda: policy.running == 0)


@pytest.mark.parametrize("where", ["filters", "chain"])
async def test_of_a_refused_configuration_only_what_was_new_ends(mesh, harness, where):
    policy = Waiting()
    async with mesh(harness.plugins(policies={"rude": policy, "refuses": Refusing()})) as m:
        await m.apply(destination(harness, rule(0), policies=[SPEC]))
        await m.until(lambda: policy.running == 1)
        if where == "filters":  # the first rule goes on with its chain, a filter is begun, the next cannot be
            refused = [rule(0), rule(1, filters=of("refuses", "rude"))]
        else:  # a new chain, and then a rule that cannot be
            own = pb.Policy(type="rude", source="another")
            refused = [rule(0), rule(1, policies=[own]), rule(2, filters=of("refuses"))]
        with pytest.raises(harness.Rejected):
            await m.apply(destination(harness, *refused, policies=[SPEC]))
        await settled()
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await settled()
        assert policy.running == 1, "what is in force goes on, and nothing else"
        m.tasks_at_rest += 1
