"""Retry on a virtual clock, around handlers that fail as they are told."""

import random
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock
from tulle_plugin_api import (
    Address,
    ConfigError,
    Endpoint,
    Exchange,
    Failure,
    Headers,
    Position,
    Refused,
    Response,
    TrioRuntime,
    load,
    pass_by,
)
from tulle_plugin_api.config import decode
from tulle_policy_retry import REPLAY_BYTES, Retry, RetryConfig


def run(test):
    return trio.run(test, clock=MockClock(autojump_threshold=0))


def answer(status=200, body=b"", **fields):
    return Response(status, Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()]), body)


class Upstream:
    """Answers with each of `outcomes` in turn, the last one for ever; reads the request's body first."""

    def __init__(self, *outcomes):
        self.outcomes, self.seen, self.times = list(outcomes), [], []

    async def __call__(self, exchange):
        self.times.append(trio.current_time())
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        exchange.attempts += 1
        exchange.endpoint = Endpoint(Address("10.0.0.1", exchange.attempts))
        body = exchange.body
        if not isinstance(body, bytes):
            body = b""
            while piece := await exchange.body.read():
                body += piece
        self.seen.append(body)
        if callable(outcome):
            return await outcome(exchange)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def policy(next, runtime=None, **config):
    return Retry().build(decode(RetryConfig, config), next, runtime or TrioRuntime(1))


def request(method="GET", body=b""):
    exchange = Exchange()
    exchange.method, exchange.body = method, body
    return exchange


class Pieces:
    """A body that arrives in pieces; `read` after its end is a mistake that the test sees."""

    def __init__(self, *pieces):
        self.left, self.closed, self.reads = list(pieces), False, 0

    async def read(self):
        self.reads += 1
        await trio.lowlevel.checkpoint()
        return self.left.pop(0) if self.left else b""

    async def aclose(self):
        self.closed = True


def outcome_of(upstream, *, method="GET", body=b"", **config):
    """(response or failure, exchange, counters) of one request."""
    runtime, result = TrioRuntime(1), []

    async def test():
        exchange = request(method, body)
        try:
            got = await policy(upstream, runtime, **config)(exchange)
        except Failure as failure:
            got = failure
        result.extend([got, exchange])

    run(test)
    return (*result, runtime.counters)


def test_it_is_installed_above_the_balancer_and_on_the_fast_path():
    installed = load().policies["retry"]
    assert isinstance(installed, Retry)
    assert installed.position is Position.RETRY < Position.ENDPOINT
    assert installed.uses_trio is False


# --- conditions -------------------------------------------------------------------------------------------------------

BROKE = Failure("gone", reason="upstream-reset")
UNREACHED = Failure("nobody", reason="connect-failed")


@pytest.mark.parametrize(
    ("first", "method", "config", "tries"),
    [
        (answer(503), "GET", {}, 2),
        (answer(500), "PUT", {}, 2),
        (answer(500), "POST", {}, 1),  # somebody may have seen it
        (answer(500), "POST", {"methods": ["POST"]}, 2),
        (answer(501), "GET", {}, 1),  # what it cannot do, it cannot do a second time
        (answer(404), "GET", {}, 1),
        (answer(429), "GET", {}, 1),
        (answer(429), "GET", {"statuses": [429]}, 2),
        (answer(500), "GET", {"on": ["gateway-error"]}, 1),
        (answer(502), "GET", {"on": ["gateway-error"]}, 2),
        (BROKE, "GET", {}, 2),
        (BROKE, "POST", {}, 1),
        (BROKE, "GET", {"on": ["5xx"]}, 1),
        (Failure("x", reason="bad-answer"), "GET", {}, 2),
        (UNREACHED, "GET", {}, 2),
        (UNREACHED, "POST", {}, 2),  # nobody has seen it
        (UNREACHED, "POST", {"on": ["5xx"]}, 1),
        (Failure("x", reason="client-reset"), "GET", {}, 1),
        (Failure("x", reason="no-endpoints"), "GET", {}, 1),
        (Refused(503, "circuit-open"), "GET", {}, 1),  # a policy below said no: it would say so again
        (Refused(503, "timeout"), "GET", {}, 1),
    ],
    ids=repr,
)
def test_conditions(first, method, config, tries):
    upstream = Upstream(first, answer(200))
    got, _, counters = outcome_of(upstream, method=method, **config)
    assert len(upstream.seen) == tries
    if tries == 2:
        assert got.status == 200
        assert counters == {"retry_tries_total": 1, "retry_successes_total": 1}
    else:
        assert got is first
        assert counters == {}


def test_what_is_no_failure_of_the_exchange_is_not_touched():
    upstream = Upstream(KeyError("a bug"), answer(200))
    with pytest.raises(KeyError):
        outcome_of(upstream)
    assert len(upstream.seen) == 1


# --- attempts, elsewhere, pauses --------------------------------------------------------------------------------------


def test_the_last_answer_is_the_clients_when_attempts_are_used_up():
    upstream = Upstream(answer(503), answer(502), BROKE, answer(504, b"last"))
    got, exchange, counters = outcome_of(upstream, attempts=3)
    assert (got.status, got.body) == (504, b"last")
    assert exchange.attempts == 4
    assert counters == {"retry_tries_total": 3, "retry_exhausted_total": 1}


def test_the_last_failure_is_raised_when_attempts_are_used_up():
    got, _, _ = outcome_of(Upstream(answer(503), BROKE), attempts=1)
    assert got is BROKE


def test_endpoints_that_had_their_try_are_to_be_avoided():
    _, exchange, _ = outcome_of(Upstream(answer(503), answer(503), answer(200)))
    assert [endpoint.address.port for endpoint in exchange.avoid] == [1, 2]


def test_a_least_pause_comes_on_top():
    upstream = Upstream(answer(503), answer(503), answer(503))

    async def test():
        handler = policy(upstream, TrioRuntime(1), attempts=2, backoff={"min": "2s", "base": "10ms", "max": "10ms"})
        await handler(request())

    run(test)
    assert [2 <= later - earlier <= 2.01 for earlier, later in pairwise(upstream.times)] == [True, True]


def test_pauses_double_up_to_the_longest_and_are_random():
    def pauses(seed):
        upstream, told = Upstream(answer(503)), {"base": "100ms", "max": "300ms"}

        async def test():
            budget = {"percent": 100, "per_second": 100}
            handler = policy(upstream, TrioRuntime(seed), attempts=5, backoff=told, budget=budget)
            for _ in range(30):
                await handler(request())

        run(test)
        times = upstream.times
        return [[times[n + i + 1] - times[n + i] for n in range(0, len(times), 6)] for i in range(5)]

    bounds = [0.1, 0.2, 0.3, 0.3, 0.3]
    for pause, bound in zip(pauses(1), bounds, strict=True):
        assert 0 <= min(pause) < 0.3 * bound < 0.7 * bound < max(pause) <= bound, "full jitter"
    assert pauses(1) != pauses(2)


@pytest.mark.parametrize(
    ("fields", "wait"),
    [
        ({"retry_after": "1"}, 1),
        ({"retry_after": "0"}, 0),
        ({"retry_after": "2"}, None),  # longer than max_retry_after: the client may wait
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:58 GMT"}, 1),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:00 GMT", "date": "Fri, 31 Dec 1999 23:59:58 GMT"}, 0),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 22:59:58 GMT"}, None),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "١"}, None),
    ],
    ids=repr,
)
def test_retry_after_is_honoured(fields, wait):
    if not fields["retry_after"].isascii():
        fields = {"retry_after": fields["retry_after"].encode().decode("latin-1")}
    upstream = Upstream(answer(503, **fields), answer(200))
    got, _, _ = outcome_of(upstream)
    if wait is None:
        assert (got.status, len(upstream.seen)) == (503, 1)
    else:
        assert got.status == 200
        assert wait <= upstream.times[1] <= wait + 0.025


def test_a_try_has_its_own_time_and_an_answer_in_time_is_not_hurried():
    async def hangs(exchange):
        await trio.sleep(60)

    async def just_in_time(exchange):
        await trio.sleep(0.4)
        return answer(200)

    upstream = Upstream(hangs, just_in_time)
    got, _, _ = outcome_of(upstream, per_try_timeout="500ms")
    assert got.status == 200
    assert 0.5 <= upstream.times[1] <= 0.525
    got, _, counters = outcome_of(Upstream(hangs), per_try_timeout="500ms", attempts=1)
    assert got.reason == "timeout"
    assert "the limit of a try" in got.detail
    assert counters["retry_exhausted_total"] == 1


def test_when_the_time_for_all_tries_is_over_nobody_is_asked_again():
    async def hangs(exchange):
        await trio.sleep(60)

    upstream, runtime = Upstream(hangs), TrioRuntime(1)

    async def test():
        with pytest.raises(Failure, match="whole"), runtime.timeout(2, "whole"):
            await policy(upstream, runtime)(request())
        assert trio.current_time() == pytest.approx(2)

    run(test)
    assert len(upstream.seen) == 1
    assert runtime.counters == {}


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, REPLAY_BYTES, REPLAY_BYTES + 1])
@pytest.mark.parametrize("whole", [True, False])
def test_a_body_is_sent_again_from_its_beginning_or_not_at_all(size, whole):
    data = bytes(i % 251 for i in range(size))
    body = data if whole else Pieces(*[data[at : at + 1000] for at in range(0, size, 1000)])
    upstream = Upstream(answer(503), answer(502), answer(200))
    got, _, counters = outcome_of(upstream, method="PUT", body=body)
    assert all(seen == data for seen in upstream.seen)
    if size <= REPLAY_BYTES:
        assert (got.status, len(upstream.seen)) == (200, 3)
    else:
        assert (got.status, len(upstream.seen)) == (503, 1)
        assert counters == {"retry_body_too_large_total": 1}


def passing(body, moves, tries):
    """`next` for a policy: reads one piece, offers the rest to pass by, then reads on. A try for each of `tries`."""
    seen, left = [], list(tries)

    async def next(exchange):
        async def move(inner):
            assert inner is body
            piece = await inner.read() if moves else b""
            exchange.request_bytes += len(piece)
            seen[-1] += piece

        seen.append(await exchange.body.read())
        await pass_by(exchange.body, move)
        while piece := await exchange.body.read():
            seen[-1] += piece
        return answer(left.pop(0))

    return next, seen


def test_a_body_of_which_something_has_passed_by_unread_is_not_sent_again():
    next, seen = passing(body := Pieces(b"one", b"two", b"three"), moves=True, tries=[503])
    got, _, counters = outcome_of(next, method="PUT", body=body)
    assert (got.status, seen) == (503, [b"onetwothree"])
    assert counters == {"retry_body_too_large_total": 1}


def test_nor_is_one_of_which_something_was_taken_and_lost():
    body, seen = Pieces(b"one", b"two", b"three"), []

    async def next(exchange):
        async def move(inner):
            exchange.request_bytes += len(await inner.read())
            raise BROKE

        seen.append(await exchange.body.read())
        await pass_by(exchange.body, move)

    failure, _, counters = outcome_of(next, method="PUT", body=body)
    assert (failure, seen) == (BROKE, [b"one"])
    assert counters == {"retry_body_too_large_total": 1}


def test_one_of_which_nothing_could_pass_by_is():
    next, seen = passing(body := Pieces(b"one", b"two", b"three"), moves=False, tries=[503, 200])
    got, _, _ = outcome_of(next, method="PUT", body=body)
    assert (got.status, seen) == (200, [b"onetwothree"] * 2)


def test_nothing_passes_by_before_what_is_kept_has_been_read_again():
    body, seen = Pieces(b"one", b"two", b"three", b"four"), []

    async def next(exchange):
        async def move(inner):
            if piece := await inner.read():
                seen[-1].append(b"past: " + piece)
                exchange.request_bytes += len(piece)

        seen.append([])
        while piece := await exchange.body.read():
            seen[-1].append(piece)
            if len(seen) == 1 and len(seen[0]) == 2:
                raise BROKE
            if len(seen) == 2:
                await pass_by(exchange.body, move)
        return answer(200)

    outcome_of(next, method="PUT", body=body)
    assert seen == [[b"one", b"two"], [b"one", b"two", b"past: three", b"four"]]


def test_a_try_that_ended_before_it_had_read_everything_leaves_the_rest_for_the_next():
    body = Pieces(b"one", b"two", b"three")
    seen = []

    async def next(exchange):
        seen.append([])
        while piece := await exchange.body.read():
            seen[-1].append(piece)
            if len(seen) == 1 and len(seen[0]) == 2:
                raise BROKE
        return answer(200)

    got, _, _ = outcome_of(next, method="PUT", body=body)
    assert got.status == 200
    assert seen == [[b"one", b"two"], [b"one", b"two", b"three"]]
    assert body.reads == 4, "each piece once, and the end once"


def test_what_is_not_repeatable_yet_may_be_once_only_a_little_was_read():
    """Not the body's length decides, but what a try has taken of it."""
    body = Pieces(*[b"x" * 1000] * 1000)
    seen = []

    async def next(exchange):
        seen.append(await exchange.body.read())
        if len(seen) == 1:
            raise BROKE
        while piece := await exchange.body.read():
            seen[-1] += piece
        return answer(200)

    got, _, _ = outcome_of(next, method="PUT", body=body)
    assert got.status == 200
    assert len(seen[1]) == 1_000_000


def test_the_body_of_an_answer_that_is_not_used_is_closed():
    unused, used = Pieces(b"error"), Pieces(b"good")
    got, _, _ = outcome_of(Upstream(answer(503, unused), answer(200, used)))
    assert got.body is used
    assert (unused.closed, used.closed) == (True, False)
    last = Pieces(b"error")
    got, _, _ = outcome_of(Upstream(answer(503, last)))
    assert (got.body, last.closed) == (last, True), "the same answer was given three times in this test"
    last = Pieces(b"error")
    got, _, _ = outcome_of(Upstream(answer(503), answer(503), answer(503, last)))
    assert (got.body, last.closed) == (last, False)


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"attempts": 0}, "spec.config.attempts: expected int >= 1 (0)"),
        ({"attempts": 11}, "<= 10"),
        ({"on": ["5XX"]}, "spec.config.on[0]: invalid enum value '5XX'"),
        ({"statuses": [200]}, "spec.config.statuses[0]: expected int >= 400 (200)"),
        ({"budget": {"percent": 120}}, "spec.config.budget.percent: expected float <= 100.0 (120)"),
        ({"budget": {"percnt": 20}}, "spec.config.budget: unknown field 'percnt'; did you mean 'percent'?"),
        ({"backoff": {"base": 1}}, "spec.config.backoff.base: expected a duration"),
        ({"per_try_timeout": "fast"}, "expected a duration"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(config, problem):
    with pytest.raises(ConfigError) as refused:
        decode(RetryConfig, config)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"on": []}, "on: empty, so nothing is ever retried"),
        ({"backoff": {"base": "1s"}}, "backoff.max: at least backoff.base, which is 1 s; got 0.25 s"),
        ({"budget": {"window": "100ms"}}, "budget.window: at least 1s, got 0.1 s"),
        ({"methods": ["get"]}, "methods: methods are upper case (RFC 9110 section 9.1), got 'get'"),
    ],
)
def test_what_types_cannot_say(config, problem):
    (said,) = Retry().check(decode(RetryConfig, config))
    assert said.startswith(problem)


def test_the_defaults_are_good():
    assert Retry().check(RetryConfig()) == []


# --- how much load ----------------------------------------------------------------------------------------------------


def load_of(fails, *, rate=100, seconds=12, latency=0.02, seed=1, attempts=4, budget=None, since=0):
    """(tries a request, share that succeeded of those from `since` on) at `rate` a second, `fails(now, random)`."""
    chance = random.Random(seed)
    tries = good = 0

    async def next(exchange):
        nonlocal tries
        tries += 1
        await trio.sleep(latency)
        return answer(503 if fails(trio.current_time(), chance) else 200)

    async def test():
        nonlocal good
        handler = policy(next, TrioRuntime(seed), attempts=attempts, budget=budget or {})

        async def one(at):
            nonlocal good
            await trio.sleep(at)
            response = await handler(request())
            good += response.status == 200 and at >= since

        async with trio.open_nursery() as nursery:
            for number in range(rate * seconds):
                nursery.start_soon(one, number / rate)

    run(test)
    return tries / (rate * seconds), good / (rate * (seconds - since))


@pytest.mark.parametrize("attempts", [1, 10])
@pytest.mark.parametrize("rate", [100, 250])
def test_a_total_outage_costs_a_fifth_more_and_not_several_times_more(rate, attempts):
    load, good = load_of(lambda now, chance: True, rate=rate, attempts=attempts)
    assert good == 0
    assert 1.15 < load <= 1.2


def test_an_outage_that_begins_in_good_times_costs_no_more():
    load, _ = load_of(lambda now, chance: now >= 6)
    assert load <= 1.2


def test_without_a_budget_that_binds_an_outage_would_cost_several_times_more():
    load, _ = load_of(lambda now, chance: True, rate=60, budget={"percent": 100, "per_second": 1000})
    assert load == 5


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("latency", [0.001, 0.1, 0.8])
def test_thirty_percent_failures_are_hidden_from_the_caller(seed, latency):
    def fails(now, chance):
        return now >= 3 and chance.random() < 0.3

    load, good = load_of(fails, rate=200, latency=latency, seed=seed, since=3)
    assert good > 0.995
    assert load <= 1.6


def test_thirty_percent_from_the_first_request_on_are_hidden_too():
    load, good = load_of(lambda now, chance: chance.random() < 0.3, rate=200)
    assert good > 0.995
    assert load <= 1.6


def test_without_refunds_they_would_not_be():
    _, good = load_of(lambda now, chance: chance.random() < 0.3, rate=200, budget={"refund": False})
    assert good < 0.95


@pytest.mark.parametrize("failing", [0.1, 0.36, 0.5, 0.9])
def test_whatever_share_fails_load_stays_below_1_6(failing):
    load, _ = load_of(lambda now, chance: chance.random() < failing, rate=100, attempts=10)
    assert load <= 1.6


def test_a_service_with_few_requests_may_retry_too():
    load, _ = load_of(lambda now, chance: True, rate=2, attempts=3)
    assert load == 4
    load, _ = load_of(lambda now, chance: True, rate=2, attempts=3, budget={"per_second": 0})
    assert load <= 1.2
