"""Token buckets, with times passed in and on a virtual clock."""

import random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock
from tulle_plugin_api import (
    PROBE_ROUTE,
    Address,
    ConfigError,
    Exchange,
    Headers,
    Position,
    Refused,
    Response,
    TrioRuntime,
    load,
)
from tulle_plugin_api.config import decode
from tulle_policy_rate_limit import Buckets, RateLimit, RateLimitConfig


def run(test):
    return trio.run(test, clock=MockClock(autojump_threshold=0))


async def ok(exchange):
    return Response(200)


def build(next=ok, direction="inbound", **given):
    runtime = TrioRuntime(1, direction=direction)
    return RateLimit().build(decode(RateLimitConfig, given), next, runtime), runtime


def request(ip="10.0.0.1", identity="", **fields):
    exchange = Exchange(Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()]))
    exchange.source, exchange.source_identity = Address(ip, 1), identity
    return exchange


async def admitted(handler, exchange=None):
    try:
        return (await handler(exchange or request())).status == 200
    except Refused:
        return False


def test_it_is_installed_before_anything_is_spent_and_on_the_fast_path():
    installed = load().policies["rate-limit"]
    assert isinstance(installed, RateLimit)
    assert Position.AUTHORIZE < installed.position < Position.REQUEST
    assert (installed.uses_trio, installed.direction) == (False, "both")


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("requests", "per"), [(100, "1s"), (50, "1s"), (1000, "1s"), (50, "500ms")])
def test_within_two_percent_over_ten_seconds_at_three_times_the_load(requests, per, seed):
    async def test():
        handler, _ = build(requests=requests, per=per)
        chance, limit = random.Random(seed), requests * 10 / runtime_seconds(per)
        count = 0
        await trio.sleep(100)  # the bucket is full
        end = trio.current_time() + 10
        while True:
            await trio.sleep(chance.expovariate(3 * limit / 10))  # Poisson arrivals
            if trio.current_time() >= end:
                break
            count += await admitted(handler)
        assert abs(count - limit) <= 0.02 * limit

    run(test)


def runtime_seconds(text):
    return {"1s": 1, "500ms": 0.5}[text]


@settings(deadline=None)  # on a busy machine any example may be slow
@given(
    st.integers(1, 50), st.floats(0.1, 60), st.integers(1, 50),
    st.lists(st.floats(0, 3), max_size=50), st.floats(0, 4e9),
)
def test_no_span_of_time_admits_more_than_the_bucket_holds(requests, per, burst, gaps, start):
    buckets, now, times = Buckets(requests, per, burst, 10), start, []
    for gap in gaps:
        now += gap
        if buckets.take("", now) == 0:
            times.append(now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            allowed = burst + (times[last] - times[first]) * requests / per
            assert last - first + 1 <= allowed + 1e-3


@settings(deadline=None)
@given(st.integers(1, 50), st.floats(0.1, 60), st.integers(1, 50), st.lists(st.floats(0, 3), min_size=1, max_size=100))
def test_whoever_waits_as_told_is_admitted_and_a_moment_earlier_is_not(requests, per, burst, gaps):
    buckets, now = Buckets(requests, per, burst, 10), 0.0
    for gap in gaps:
        now += gap
        wait = buckets.take("", now)
        if wait > 1e-6:
            assert buckets.take("", now + wait * 0.99 - 1e-7) > 0
            assert buckets.take("", now + wait + 1e-9) == 0
            now += wait + 1e-9


def test_a_burst_and_what_it_costs():
    buckets = Buckets(10, 1, 5, 10)
    assert [buckets.take("", 100) == 0 for _ in range(7)] == [True] * 5 + [False] * 2
    assert buckets.take("", 100) == pytest.approx(0.1)
    assert buckets.take("", 100.1) == 0
    assert buckets.take("", 100.15) == pytest.approx(0.05)
    assert [buckets.take("", 200) == 0 for _ in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize(("given", "at_once"), [({"requests": 100}, 10), ({"requests": 5}, 3), ({"requests": 2}, 2),
                                                ({"requests": 100, "burst": 100}, 100)])
def test_how_many_may_come_at_once(given, at_once):
    async def test():
        handler, _ = build(**given)
        assert sum([await admitted(handler) for _ in range(150)]) == at_once

    run(test)


# --- whose ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "first", "second", "together"),
    [
        ({}, request("10.0.0.1"), request("10.0.0.2"), True),
        ({"by": "client"}, request("10.0.0.1"), request("10.0.0.2"), False),
        ({"by": "client"}, request("10.0.0.1"), request("10.0.0.1"), True),
        ({"by": "client"}, request(identity="spiffe://a"), request(identity="spiffe://b"), False),
        ({"by": "client"}, request("10.0.0.1", "spiffe://a"), request("10.0.0.2", "spiffe://a"), True),
        ({"by": "header", "header": "x-api-key"}, request(x_api_key="a"), request(x_api_key="b"), False),
        ({"by": "header", "header": "X-Api-Key"}, request("1.1.1.1", x_api_key="a"), request(x_api_key="a"), True),
        ({"by": "header", "header": "x-api-key"}, request(), request(), True),
        ({"by": "header", "header": "x-api-key"}, request(), request(x_api_key="a"), False),
    ],
)
def test_who_shares_a_bucket(given, first, second, together):
    async def test():
        handler, _ = build(requests=1, per="1h", **given)
        assert await admitted(handler, first)
        assert not await admitted(handler, first)
        assert await admitted(handler, second) is not together

    run(test)


def test_a_kubelets_probes_are_not_limited():
    async def test():
        handler, _ = build(requests=1, per="1h")
        probe = request()
        probe.route = PROBE_ROUTE
        assert all([await admitted(handler, probe) for _ in range(10)])
        assert [await admitted(handler) for _ in range(2)] == [True, False]

    run(test)


def test_the_answer_says_when_to_come_back():
    async def test():
        handler, runtime = build(requests=1, per="10s")
        await handler(request())
        await trio.sleep(2.5)
        with pytest.raises(Refused, match="more than 1 requests in 10 s") as refused:
            await handler(request())
        error = refused.value
        assert (error.status, error.reason, error.fields) == (429, "rate-limited", {"retry-after": "8"})
        assert runtime.counters == {"rate_limit_refused_total": 1}
        await trio.sleep(8)
        assert await admitted(handler)

    run(test)


@pytest.mark.parametrize(("side", "direction"), [("server", "inbound"), ("client", "outbound")])
def test_it_limits_on_one_side_and_costs_nothing_on_the_other(side, direction):
    handler, _ = build(direction=direction, requests=1, side=side)
    assert handler is not ok
    other, _ = build(direction={"inbound": "outbound", "outbound": "inbound"}[direction], requests=1, side=side)
    assert other is ok


# --- many keys --------------------------------------------------------------------------------------------------------


def test_a_flood_of_keys_neither_fills_the_memory_nor_pushes_out_who_is_used_up():
    buckets = Buckets(1, 60, 1, 100)
    assert buckets.take("victim of its own doing", 0) == 0
    got = sum(buckets.take(f"key {number}", number / 1000) == 0 for number in range(10_000))
    assert len(buckets) <= 101
    assert got <= 101, "those beyond the table share one bucket"
    assert buckets.take("victim of its own doing", 10) > 0


def test_buckets_that_are_full_again_make_room():
    buckets = Buckets(1, 1, 1, 100)
    for second in range(0, 100, 2):
        for number in range(100):
            assert buckets.take(f"{second}/{number}", second) == 0
    assert len(buckets) <= 101


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "spec.config: object missing required field requests"),
        ({"requests": 0}, "spec.config.requests: expected int >= 1 (0)"),
        ({"requests": 1, "per": "second"}, "spec.config.per: expected a duration"),
        ({"requests": 1, "by": "clinet"}, "spec.config.by: invalid enum value 'clinet'"),
        ({"requests": 1, "burts": 2}, "unknown field 'burts'; did you mean 'burst'?"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(given, problem):
    with pytest.raises(ConfigError) as refused:
        decode(RateLimitConfig, given)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"per": "0s"}, "per: more than 0s"),
        ({"by": "header"}, "header: missing"),
        ({"header": "x-key"}, "header: without effect unless `by: header`, got `by: proxy`"),
        ({"by": "header", "header": "x key"}, "header: 'x key' is not a field name"),
    ],
)
def test_what_types_cannot_say(given, problem):
    (said,) = RateLimit().check(decode(RateLimitConfig, {"requests": 1, **given}))
    assert said.startswith(problem)
