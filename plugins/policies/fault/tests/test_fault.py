"""Faults by seeded chance, on a virtual clock."""

import pytest
import trio
from trio.testing import MockClock
from tulle_plugin_api import PROBE_ROUTE, ConfigError, Exchange, Headers, Position, Refused, Response, TrioRuntime, load
from tulle_plugin_api.config import decode
from tulle_policy_fault import Fault, FaultConfig

ABORT = {"status": 503}
DELAY = {"time": "2s"}


def run(test):
    return trio.run(test, clock=MockClock(autojump_threshold=0))


async def ok(exchange):
    return Response(200)


def build(next=ok, direction="outbound", seed=1, **given):
    runtime = TrioRuntime(seed, direction=direction)
    return Fault().build(decode(FaultConfig, given), next, runtime), runtime


def request(**fields):
    return Exchange(Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()]))


async def outcome(handler, exchange=None):
    """(seconds, status)"""
    began = trio.current_time()
    try:
        status = (await handler(exchange or request())).status
    except Refused as refused:
        status = refused.status if refused.reason == "fault" else refused.reason
    return trio.current_time() - began, status


def outcomes(count, **given):
    results = []

    async def test():
        handler, runtime = build(**given)
        results.extend([await outcome(handler) for _ in range(count)])
        results.append(runtime.counters)

    run(test)
    return results


def test_it_is_installed_on_the_fast_path():
    installed = load().policies["fault"]
    assert isinstance(installed, Fault)
    assert (installed.position, installed.uses_trio, installed.direction) == (Position.REQUEST, False, "both")


def test_all_are_delayed_and_none_is_lost():
    *got, counters = outcomes(10, delay=DELAY)
    assert got == [(2, 200)] * 10
    assert counters == {"fault_delays_total": 10}


def test_all_are_aborted_without_reaching_anybody():
    async def nobody(exchange):
        raise AssertionError

    *got, counters = outcomes(10, next=nobody, abort={"status": 418})
    assert got == [(0, 418)] * 10
    assert counters == {"fault_aborts_total": 10}


@pytest.mark.parametrize("percent", [0, 0.5, 10, 50, 100])
def test_percentages_hold_within_a_point_over_ten_thousand(percent):
    *got, _ = outcomes(10_000, abort={"status": 503, "percent": percent}, delay={"time": "1s", "percent": 20})
    aborted = sum(status == 503 for _, status in got) / 100
    delayed = sum(seconds == 1 for seconds, _ in got) / 100
    both = sum(seconds == 1 and status == 503 for seconds, status in got) / 100
    assert abs(aborted - percent) < (1 if 0 < percent < 100 else 1e-9)
    assert abs(delayed - 20) < 1.2
    assert abs(both - percent * 0.2) < 1.2, "one does not depend on the other"


@pytest.mark.parametrize(
    ("wanted", "given", "meant"),
    [
        ({"x-chaos": "on"}, {"x_chaos": "on"}, True),
        ({"X-Chaos": "on"}, {"x_chaos": "on"}, True),
        ({"x-chaos": "on"}, {"x_chaos": "off"}, False),
        ({"x-chaos": "on"}, {}, False),
        ({"x-chaos": "*"}, {"x_chaos": "anything"}, True),
        ({"x-chaos": "*"}, {}, False),
        ({"x-chaos": "on", "x-user": "me"}, {"x_chaos": "on"}, False),
        ({"x-chaos": "on", "x-user": "me"}, {"x_chaos": "on", "x_user": "me"}, True),
    ],
)
def test_only_requests_with_the_headers_are_meant(wanted, given, meant):
    async def test():
        handler, _ = build(abort=ABORT, delay=DELAY, headers=wanted)
        assert await outcome(handler, request(**given)) == ((2, 503) if meant else (0, 200))

    run(test)


def test_a_kubelets_probes_are_spared():
    async def test():
        handler, _ = build(direction="inbound", side="server", abort=ABORT, delay=DELAY)
        probe = request()
        probe.route = PROBE_ROUTE
        assert await outcome(handler, probe) == (0, 200)

    run(test)


@pytest.mark.parametrize(("side", "direction"), [("client", "outbound"), ("server", "inbound")])
def test_it_happens_on_one_side_and_costs_nothing_on_the_other(side, direction):
    assert build(direction=direction, abort=ABORT, side=side)[0] is not ok
    other = {"inbound": "outbound", "outbound": "inbound"}[direction]
    assert build(direction=other, abort=ABORT, side=side)[0] is ok


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"abort": {"status": 200}}, "spec.config.abort.status: expected int >= 400 (200)"),
        ({"abort": {}}, "object missing required field status"),
        ({"delay": {"time": "2s", "percent": 101}}, "spec.config.delay.percent: expected float <= 100.0 (101)"),
        ({"delay": {"time": 2}}, "spec.config.delay.time: expected a duration"),
        ({"delay": {"tiem": "2s"}}, "spec.config.delay: unknown field 'tiem'; did you mean 'time'?"),
        ({"abort": ABORT, "side": "both"}, "spec.config.side: invalid enum value 'both'"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(given, problem):
    with pytest.raises(ConfigError) as refused:
        decode(FaultConfig, given)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "delay, abort: neither is there"),
        ({"delay": {"time": "0s"}}, "delay.time: more than 0s"),
        ({"abort": ABORT, "headers": {"x chaos": "on"}}, "headers: 'x chaos' is not a field name"),
    ],
)
def test_what_types_cannot_say(given, problem):
    (said,) = Fault().check(decode(FaultConfig, given))
    assert said.startswith(problem)
