"""The deadline, on a virtual clock: nothing here waits."""

import pytest
import trio
from trio.testing import MockClock
from tulle_plugin_api import ConfigError, Duration, Exchange, Position, Response, TimedOut, TrioRuntime, load, pass_by
from tulle_plugin_api.config import decode
from tulle_policy_timeout import Timeout, TimeoutConfig


def run(test):
    """Run an async test on a clock that jumps to the next deadline whenever everybody waits."""
    return trio.run(test, clock=MockClock(autojump_threshold=0))


def build(next, seconds=2.0):
    return Timeout().build(TimeoutConfig(request=Duration(seconds)), next, TrioRuntime())


class Pieces:
    """A body of which a piece arrives every `gap` seconds."""

    def __init__(self, count, gap):
        self.left, self.gap, self.closed = count, gap, False

    async def read(self):
        await trio.sleep(self.gap)
        self.left -= 1
        return b"piece" if self.left >= 0 else b""

    async def aclose(self):
        self.closed = True


async def read_all(body):
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return pieces


def test_it_is_installed_and_stays_on_the_fast_path():
    policy = load().policies["timeout"]
    assert isinstance(policy, Timeout)
    assert policy.position is Position.TIMEOUT
    assert policy.uses_trio is False


def test_an_answer_in_time_is_passed_on_as_it_is():
    answer = Response(200, body=b"hello")

    async def next(exchange):
        await trio.sleep(1.9)
        return answer

    async def test():
        assert await build(next)(Exchange()) is answer
        assert trio.current_time() == pytest.approx(1.9)
        assert answer.body == b"hello"

    run(test)


def test_a_late_answer_fails_at_the_deadline_and_the_try_is_cancelled():
    cleaned_up = []

    async def next(exchange):
        try:
            await trio.sleep(60)
        finally:
            cleaned_up.append(trio.current_time())

    async def test():
        with pytest.raises(TimedOut, match=r"no complete answer within 2 s, the limit that the timeout policy sets"):
            await build(next)(Exchange())
        assert trio.current_time() == pytest.approx(2.0)
        assert cleaned_up == [pytest.approx(2.0)]

    run(test)


def test_the_bodys_arrival_is_within_the_deadline_too():
    body = Pieces(count=10, gap=0.5)

    async def next(exchange):
        await trio.sleep(0.9)
        return Response(200, body=body)

    async def test():
        response = await build(next)(Exchange())
        with pytest.raises(TimedOut):
            await read_all(response.body)
        assert trio.current_time() == pytest.approx(2.0)
        await response.body.aclose()
        assert body.closed

    run(test)


def test_a_body_in_time_arrives_whole():
    async def next(exchange):
        return Response(200, body=Pieces(count=3, gap=0.4))

    async def test():
        response = await build(next)(Exchange())
        assert await read_all(response.body) == [b"piece"] * 3

    run(test)


def test_what_passes_by_unread_is_within_the_deadline_too():
    async def next(exchange):
        return Response(200, body=Pieces(count=3, gap=0))

    async def test():
        moved = []

        async def move(body):
            moved.append(type(body))
            await trio.sleep(1.5)

        response = await build(next)(Exchange())
        await pass_by(response.body, move)
        with pytest.raises(TimedOut):
            await pass_by(response.body, move)
        assert trio.current_time() == pytest.approx(2.0)
        with pytest.raises(TimedOut):
            await pass_by(response.body, move)
        assert moved == [Pieces, Pieces]

    run(test)


def test_the_longest_silence_is_looked_for_by_reading():
    async def next(exchange):
        return Response(200, body=Pieces(count=3, gap=0))

    async def test():
        handler = Timeout().build(decode(TimeoutConfig, {"idle": "1s"}), next, TrioRuntime())
        response = await handler(Exchange())

        async def move(body):
            raise AssertionError("unseen")

        await pass_by(response.body, move)

    run(test)


def test_a_reader_that_comes_too_late_gets_nothing_more():
    async def next(exchange):
        return Response(200, body=Pieces(count=3, gap=0))

    async def test():
        response = await build(next)(Exchange())
        await trio.sleep(2)  # a client that does not read
        with pytest.raises(TimedOut):
            await response.body.read()

    run(test)


def test_failures_of_the_handler_pass_through():
    async def next(exchange):
        raise KeyError("upstream")

    async def test():
        with pytest.raises(KeyError, match="upstream"):
            await build(next)(Exchange())

    run(test)


def test_zero_seconds_lift_the_limit():
    async def next(exchange):
        raise AssertionError

    assert build(next, 0.0) is next


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"request": "2 s"}, "expected a duration such as \"10s\", \"500ms\" or \"1h30m\", got '2 s'"),
        ({"request": 2}, 'spec.config.request: expected a duration such as "10s", "500ms" or "1h30m", got 2'),
        ({"request": "2s", "per_try": "fast"}, "spec.config.per_try: expected a duration"),
        ({"request": "2s", "requst": "3s"}, "spec.config: unknown field 'requst'; did you mean 'request'?"),
        ({"request": "-2s"}, "got '-2s'"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(config, problem):
    with pytest.raises(ConfigError) as refused:
        decode(TimeoutConfig, config)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "request, per_try, idle: none is there; at least one"),
        ({"request": "1s", "per_try": "2s"}, "per_try: at most request, which is 1 s; got 2 s"),
        ({"request": "0s", "per_try": "2s"}, None),
        ({"idle": "0s"}, None),
    ],
)
def test_what_types_cannot_say(config, problem):
    said = Timeout().check(decode(TimeoutConfig, config))
    assert [text.startswith(problem) for text in said] == ([True] if problem else [])


# --- each try, and silence --------------------------------------------------------------------------------------------


def test_each_try_has_its_own_time_to_the_end_of_its_answer():
    async def slow(exchange):
        await trio.sleep(0.5)
        return Response(200, body=Pieces(count=exchange.attempts, gap=0.4))

    async def test():
        policy, runtime = Timeout(), TrioRuntime()
        config = TimeoutConfig(per_try=Duration(1))
        assert policy.build(config, slow, runtime) is slow, "nothing around all tries"
        handler = policy.build_endpoint(config, slow, runtime)
        exchange = Exchange()
        exchange.attempts = 10
        response = await handler(exchange)
        with pytest.raises(TimedOut, match="no complete answer of a try within 1 s"):
            await read_all(response.body)
        assert trio.current_time() == pytest.approx(1)
        exchange.attempts = 0  # the next try
        assert await read_all((await handler(exchange)).body) == []
        assert trio.current_time() == pytest.approx(1.9)

    run(test)


def test_without_per_try_there_is_nothing_at_the_endpoint():
    async def next(exchange):
        raise AssertionError

    for config in (TimeoutConfig(request=Duration(1)), TimeoutConfig(per_try=Duration(0))):
        assert Timeout().build_endpoint(config, next, TrioRuntime()) is next


def test_silence_ends_an_answer_and_talking_does_not():
    async def next(exchange):
        await trio.sleep(30)  # the time to the head is not silence
        return Response(200, body=Pieces(count=50, gap=exchange.attempts))

    async def test():
        handler = Timeout().build(TimeoutConfig(idle=Duration(2)), next, TrioRuntime())
        exchange = Exchange()
        exchange.attempts = 1
        assert len(await read_all((await handler(exchange)).body)) == 50
        exchange.attempts = 3
        response = await handler(exchange)
        began = trio.current_time()
        with pytest.raises(TimedOut, match="nothing more of the answer for 2 s"):
            await response.body.read()
        assert trio.current_time() - began == pytest.approx(2)
        inner = response.body.inner
        await response.body.aclose()
        assert inner.closed

    run(test)


def test_silence_counts_within_the_time_for_all():
    async def next(exchange):
        return Response(200, body=Pieces(count=50, gap=0.9))

    async def test():
        config = TimeoutConfig(request=Duration(3), idle=Duration(1))
        response = await Timeout().build(config, next, TrioRuntime())(Exchange())
        with pytest.raises(TimedOut, match="no complete answer within 3 s"):
            await read_all(response.body)

    run(test)


def test_good_configuration():
    assert decode(TimeoutConfig, {"request": "1m30s"}).request == 90.0
