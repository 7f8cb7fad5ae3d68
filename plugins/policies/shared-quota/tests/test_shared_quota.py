"""What the policy asks of a lease, and what it answers. How a quota is shared is the proxy's and control plane's."""

import pytest
import trio
from tulle_plugin_api import PROBE_ROUTE, Exchange, Headers, Position, Refused, Response, Terms, TrioRuntime, load
from tulle_plugin_api.config import decode
from tulle_policy_shared_quota import SharedQuota, SharedQuotaConfig, terms


async def ok(exchange):
    return Response(200)


class Leasing(TrioRuntime):
    """Remembers what was leased; `waits` are what `take` answers, then 0.0."""

    def __init__(self, direction="inbound", waits=()):
        super().__init__(direction=direction)
        self.leased, self.waits = [], list(waits)

    def lease(self, name, terms):
        self.leased.append((name, terms))
        return self

    def take(self):
        return self.waits.pop(0) if self.waits else 0.0


def build(runtime, **given):
    return SharedQuota().build(decode(SharedQuotaConfig, given), ok, runtime)


def test_it_is_installed_on_the_fast_path_and_below_the_rate_limit():
    installed = load().policies
    assert isinstance(installed["shared-quota"], SharedQuota)
    assert (SharedQuota.uses_trio, SharedQuota.position) == (False, Position.LIMIT)
    assert "shared-quota" > "rate-limit", "at one position the alphabet decides who is outermost"


@pytest.mark.parametrize(
    ("given", "leased"),
    [
        ({"requests": 300}, Terms(300, 1, 30, 30)),
        ({"requests": 300, "per": "1m"}, Terms(300, 60, 30, 1)),
        ({"requests": 2, "per": "1h"}, Terms(2, 3600, 2, 1)),
        ({"requests": 5, "per": "1s"}, Terms(5, 1, 3, 1)),
        ({"requests": 300, "burst": 1, "slice": 7}, Terms(300, 1, 1, 7)),
        ({"requests": 1_000_000_000}, Terms(1_000_000_000, 1, 100_000_000, 1_000_000)),
    ],
)
def test_the_quota_that_is_leased(given, leased):
    assert terms(decode(SharedQuotaConfig, given)) == leased
    runtime = Leasing()
    build(runtime, **given)
    assert runtime.leased == [("requests", leased)]


@pytest.mark.parametrize(("side", "direction"), [("server", "inbound"), ("client", "outbound")])
def test_one_side_leases_and_the_other_costs_nothing(side, direction):
    here = Leasing(direction)
    assert build(here, requests=5, side=side) is not ok
    there = Leasing({"inbound": "outbound", "outbound": "inbound"}[direction])
    assert build(there, requests=5, side=side) is ok
    assert (len(here.leased), there.leased) == (1, [])


def test_what_is_more_is_refused_with_when_to_come_back():
    async def test():
        runtime = Leasing(waits=[0.0, 2.1])
        handler = build(runtime, requests=5)
        assert (await handler(Exchange(Headers()))).status == 200
        with pytest.raises(Refused, match="quota of 5 requests in 1 s is used up") as refused:
            await handler(Exchange(Headers()))
        error = refused.value
        assert (error.status, error.reason, error.fields) == (429, "quota-exhausted", {"retry-after": "3"})
        assert runtime.counters == {"shared_quota_refused_total": 1}

    trio.run(test)


def test_a_kubelets_probes_cost_nothing():
    async def test():
        runtime = Leasing(waits=[1.0])
        handler, probe = build(runtime, requests=5), Exchange(Headers())
        probe.route = PROBE_ROUTE
        assert (await handler(probe)).status == 200
        assert runtime.waits == [1.0]

    trio.run(test)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"slice": 6}, "slice: at most `requests`, 5, got 6"), ({"per": "0s"}, "per: more than 0s")],
)
def test_what_types_cannot_say(given, problem):
    (said,) = SharedQuota().check(decode(SharedQuotaConfig, {"requests": 5, **given}))
    assert said.startswith(problem)
