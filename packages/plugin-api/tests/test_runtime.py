"""TrioRuntime on trio's virtual clock: exact times, no waiting."""

import pytest
import trio
from trio.testing import MockClock
from tulle_plugin_api import TimedOut, TrioRuntime


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
