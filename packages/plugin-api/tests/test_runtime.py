"""TrioRuntime on trio's virtual clock: exact times, no waiting."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock
from tulle_plugin_api import (
    Address,
    Config,
    ConfigError,
    Endpoint,
    ListedEndpoints,
    Percent,
    Policy,
    TimedOut,
    TrioRuntime,
    WrappedBody,
    pass_by,
)
from tulle_plugin_api.config import decode


def run(test):
    return trio.run(test, clock=MockClock(autojump_threshold=0))


def test_the_clock_is_trios():
    async def test():
        runtime = TrioRuntime()
        before = runtime.now()
        await runtime.sleep(3.5)
        assert runtime.now() - before == 3.5

    run(test)


def test_in_time_nothing_happens():
    async def test():
        runtime = TrioRuntime()
        with runtime.timeout(2):
            await runtime.sleep(1.9)

    run(test)


def test_a_timeout_interrupts_and_says_how_long():
    async def test():
        runtime, cleaned_up = TrioRuntime(), []

        async def work():
            try:
                await runtime.sleep(9)
            finally:
                cleaned_up.append(runtime.now())

        with pytest.raises(TimedOut, match=r"^nothing within 2 s$") as raised, runtime.timeout(2):
            await work()
        assert raised.value.reason == "timeout"
        assert cleaned_up == [2]

    run(test)


def test_a_timeout_raises_the_error_it_was_given():
    async def test():
        runtime, error = TrioRuntime(), TimedOut("connect", reason="connect-timeout")
        with pytest.raises(TimedOut) as raised:
            with runtime.timeout(2, error):
                await runtime.sleep(9)
        assert raised.value is error
        assert raised.value.reason == "connect-timeout"

    run(test)


def test_the_outer_of_two_timeouts_passes_through_the_inner():
    async def test():
        runtime = TrioRuntime()
        outer, inner = runtime.timeout(1, TimedOut("outer")), runtime.timeout(2, TimedOut("inner"))
        with pytest.raises(TimedOut, match="outer"), outer, inner:
            await runtime.sleep(9)
        assert runtime.now() == 1

    run(test)


def test_other_errors_pass_through():
    async def test():
        with pytest.raises(KeyError):
            with TrioRuntime().timeout(2):
                raise KeyError

    run(test)


@pytest.mark.parametrize("seconds", [0, -1, 0.0])
def test_no_time_at_all_is_refused(seconds):
    with pytest.raises(ValueError, match="a timeout is a positive number of seconds"):
        with TrioRuntime().timeout(seconds):
            raise AssertionError


def test_chance_can_be_seeded():
    assert TrioRuntime(7).random.random() == TrioRuntime(7).random.random()
    assert TrioRuntime().random.random() != TrioRuntime().random.random()


def test_an_event_wakes_who_waits_now_and_later():
    async def test():
        runtime, woken = TrioRuntime(), []
        event = runtime.event()

        async def wait(name):
            await event.wait()
            woken.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "one")
            nursery.start_soon(wait, "two")
            await trio.testing.wait_all_tasks_blocked()
            assert woken == []
            event.set()
            event.set()
        await wait("later")
        assert sorted(woken) == ["later", "one", "two"]

    run(test)


def test_what_is_counted_can_be_read():
    runtime = TrioRuntime()
    runtime.count("a_total")
    runtime.count("a_total", 2)
    runtime.count("b_total", 0)
    runtime.count("b_total", reason="late", side="in")
    assert runtime.counters == {"a_total": 3, "b_total": 0, 'b_total{reason="late",side="in"}': 1}


def test_background_work_outlives_its_caller_and_harms_nobody(caplog):
    async def test():
        runtime, done = TrioRuntime(), []

        async def work(name):
            await runtime.sleep(1)
            done.append(name)
            raise KeyError(name)

        runtime.spawn(work, "one")
        runtime.spawn(work, "two")
        assert done == []
        await runtime.sleep(2)
        assert sorted(done) == ["one", "two"]
        assert runtime.counters == {"policy_background_failures_total": 2}

        runtime.spawn(trio.sleep_forever)  # does not keep the run from ending

    run(test)
    assert "background task failed" in caplog.text


def test_a_side_and_endpoints():
    assert TrioRuntime().direction == "outbound"
    assert TrioRuntime(direction="inbound").direction == "inbound"
    assert TrioRuntime().endpoints.all("anything") == ()


def test_listed_endpoints_are_usable_unless_ejected():
    now = [0.0]
    one, two = (Endpoint(Address("10.0.0.1", port)) for port in (1, 2))
    endpoints = ListedEndpoints({"b": [one, two]}, lambda: now[0])
    endpoints.eject("b", one, 10)
    assert endpoints.all("b") == [one, two]
    assert endpoints.usable("b") == [two]
    now[0] = 10
    assert endpoints.usable("b") == [one, two]
    endpoints.eject("b", one, 10)
    endpoints.readmit("b", one)
    endpoints.readmit("b", one)
    assert endpoints.usable("b") == [one, two]
    endpoints.eject("b", one, 10)
    endpoints.eject("b", two, 10)
    assert endpoints.usable("b") == [one, two], "all of them when all are"


def test_a_wrapped_body_is_the_inner_one():
    class Body:
        def __init__(self):
            self.closed, self.left = 0, [b"a"]

        async def read(self):
            return self.left.pop() if self.left else b""

        async def aclose(self):
            self.closed += 1

    class Ready(Body):
        at_hand = True

    async def test():
        body = Body()
        wrapped = WrappedBody(body)
        assert [await wrapped.read(), await wrapped.read()] == [b"a", b""]
        await wrapped.aclose()
        assert (body.closed, wrapped.at_hand) == (1, False)
        assert WrappedBody(WrappedBody(Ready())).at_hand is True

        class Blind(WrappedBody):
            async def pass_by(self, move):
                await pass_by(self.inner, move)

        moved = []

        async def move(body):
            moved.append(body)

        await pass_by(wrapped, move)
        await pass_by(Blind(wrapped), move)
        await pass_by(WrappedBody(Blind(body)), move)
        assert moved == [], "who wraps a body sees all of it, unless he says otherwise"
        await pass_by(Blind(Blind(body)), move)
        await pass_by(body, move)
        assert moved == [body, body]

    run(test)


class Plain(Config):
    """No settings."""


def test_a_policy_has_no_endpoint_part_and_sends_nowhere_unless_it_says_so():
    class Some(Policy[Plain]):
        config = Plain

        def build(self, config, next, runtime):
            raise AssertionError

    async def next(exchange):
        raise AssertionError

    assert Some().build_endpoint(Plain(), next, TrioRuntime()) is next
    assert Some().backends(Plain()) == ()
    assert Some().on_failure(Plain()) == "closed"


@pytest.mark.parametrize(("given", "problem"), [(101, "<= 100.0"), (-1, ">= 0"), ("10%", "got str")])
def test_a_share_is_in_per_cent(given, problem):
    class Share(Config):
        percent: Percent

    assert decode(Share, {"percent": 10}).percent == 10
    with pytest.raises(ConfigError, match=problem):
        decode(Share, {"percent": given})
