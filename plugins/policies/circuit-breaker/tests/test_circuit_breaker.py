"""Circuits and limits on a virtual clock, below a balancer of the test's own."""

import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from tulle_plugin_api import (
    Address,
    ConfigError,
    Endpoint,
    Exchange,
    Failure,
    ListedEndpoints,
    Position,
    Refused,
    Response,
    TrioRuntime,
    load,
    pass_by,
)
from tulle_plugin_api.config import decode
from tulle_policy_circuit_breaker import Circuit, CircuitBreaker, CircuitBreakerConfig

BACKEND = "default/app-b:80"
NODES = [Endpoint(Address("10.0.0.1", port)) for port in range(1, 6)]


def run(test):
    return trio.run(test, clock=MockClock(autojump_threshold=0))


def config(**given):
    return decode(CircuitBreakerConfig, given)


class Bench:
    """The policy between a balancer (each usable endpoint in turn) and endpoints that answer as `says` tells."""

    def __init__(self, says, nodes=NODES, **given):
        self.nodes, self.says, self.sent, self.turn = nodes, says, [], 0
        self.endpoints = ListedEndpoints({BACKEND: nodes}, trio.current_time)
        self.runtime = TrioRuntime(1, endpoints=self.endpoints)
        policy = CircuitBreaker()
        self.handler = policy.build_endpoint(config(**given), self._endpoint, self.runtime)

    async def _endpoint(self, exchange):
        self.sent.append(exchange.endpoint.address.port)
        said = self.says(exchange.endpoint.address.port)
        if hasattr(said, "__await__"):
            said = await said
        if isinstance(said, BaseException):
            raise said
        return Response(said)

    async def request(self):
        exchange = Exchange()
        exchange.backend = BACKEND
        usable = self.endpoints.usable(BACKEND)
        self.turn += 1
        exchange.endpoint = usable[self.turn % len(usable)]
        try:
            return (await self.handler(exchange)).status
        except Failure as failure:
            return failure.reason

    @property
    def out(self):
        usable = self.endpoints.usable(BACKEND)
        return [e.address.port for e in self.nodes if e not in usable]


def test_it_is_installed_on_the_fast_path():
    installed = load().policies["circuit-breaker"]
    assert isinstance(installed, CircuitBreaker)
    assert Position.RETRY < installed.position < Position.ENDPOINT
    assert installed.uses_trio is False


# --- the circuit alone ------------------------------------------------------------------------------------------------


def trace(circuit, steps):
    """Each step: (time, "ok" or "bad" of a request while CLOSED; "begin", "open", "close"), and what it gave."""
    does = {
        "ok": lambda now: bool(circuit.ends(now, False)), "bad": lambda now: bool(circuit.ends(now, True)),
        "begin": circuit.begins, "open": circuit.open, "close": circuit.close,
    }
    told = []
    for now, what in steps:
        gave = does[what](now)
        told.append((now, what, gave, circuit.state.value))
    return told


def test_a_trace_of_states():
    circuit = Circuit(config(consecutive_failures=3, ejection="10s", max_ejection="30s"))
    assert trace(circuit, [
        (0, "bad"), (1, "bad"), (2, "ok"), (3, "bad"), (4, "bad"), (5, "bad"),
        (5, "open"), (14.9, "begin"), (15, "begin"),  # the first probe fails
        (15.5, "open"), (35.4, "begin"), (35.5, "begin"),  # twice as long
        (36, "open"), (65.9, "begin"), (66, "begin"),  # the longest
        (66.5, "close"), (67, "bad"), (67, "bad"), (67, "bad"), (67, "open"),
    ]) == [
        (0, "bad", False, "closed"), (1, "bad", False, "closed"), (2, "ok", False, "closed"),
        (3, "bad", False, "closed"), (4, "bad", False, "closed"), (5, "bad", True, "closed"),
        (5, "open", 10, "open"), (14.9, "begin", False, "open"), (15, "begin", True, "half-open"),
        (15.5, "open", 20, "open"), (35.4, "begin", False, "open"), (35.5, "begin", True, "half-open"),
        (36, "open", 30, "open"), (65.9, "begin", False, "open"), (66, "begin", True, "half-open"),
        (66.5, "close", None, "closed"), (67, "bad", False, "closed"), (67, "bad", False, "closed"),
        (67, "bad", True, "closed"), (67, "open", 10, "open"),
    ]


def test_a_probe_whose_answer_never_comes_is_given_up():
    circuit = Circuit(config(ejection="10s"))
    assert trace(circuit, [(0, "open"), (10, "begin"), (19, "begin"), (20, "begin")]) == [
        (0, "open", 10, "open"), (10, "begin", True, "half-open"), (19, "begin", False, "half-open"),
        (20, "begin", True, "half-open"),
    ]


def rate(outcomes, gap=0.1, **given):
    """After how many requests the success rate is too low; None: never."""
    circuit = Circuit(config(consecutive_failures=0, success_rate={"percent": 50, "requests": 10, **given}))
    for number, outcome in enumerate(outcomes, 1):
        if circuit.ends(number * gap, outcome == "x"):
            return number
    return None


def test_it_says_why():
    assert Circuit(config(consecutive_failures=1)).ends(1, True) == "consecutive-failures"
    rated = Circuit(config(consecutive_failures=0, success_rate={"percent": 50, "requests": 1}))
    assert rated.ends(1, True) == "success-rate"
    assert rated.ends(1, False) == ""


def test_the_success_rate_counts_only_what_is_enough_and_recent():
    assert rate("x" * 20) == 10
    assert rate(".x" * 20) is None  # just 50%
    assert rate("..x" * 50) is None
    assert rate("." * 9 + "x" * 20) == 19  # 9 of 19
    assert rate("x" * 9) is None
    assert rate("x" * 100, gap=2) is None  # never 10 within 10 s
    assert rate("." * 1000 + "x" * 200) in range(1050, 1102)  # the window is 10 s, at 10 requests a second
    assert rate("x" * 100, percent=0) is None


# --- with endpoints ---------------------------------------------------------------------------------------------------


def test_one_bad_endpoint_of_five_fails_less_than_one_in_a_thousand_after_its_ejection():
    async def test():
        bench = Bench(lambda port: 503 if port == 3 else 200, ejection="30s")
        failed = []
        for number in range(6000):
            await trio.sleep(0.02)
            if await bench.request() != 200:
                failed.append(number)
        assert bench.out == [3]
        assert len(failed) - 5 < 6, "5 that led to the ejection, then one for each probe: 30 s, then 60 s later"
        assert [number for number in failed if number < 1000] == failed[:5]
        counted = {name.removeprefix("circuit_breaker_"): n for name, n in bench.runtime.counters.items()}
        assert counted['ejections_total{reason="consecutive-failures"}'] == 1
        assert counted['ejections_total{reason="probe-failed"}'] == len(failed) - 5

    run(test)


def test_without_the_policy_it_would_be_one_in_five():
    async def test():
        bench = Bench(lambda port: 503 if port == 3 else 200, consecutive_failures=0, success_rate={"percent": 0})
        results = [await bench.request() for _ in range(1000)]
        assert results.count(503) == 200

    run(test)


def test_one_that_recovers_is_back_after_one_probe():
    async def test():
        bad = {3}
        bench = Bench(lambda port: 503 if port in bad else 200, consecutive_failures=2, ejection="10s")
        for _ in range(10):
            await bench.request()
        assert bench.out == [3]
        bad.clear()
        await trio.sleep(10)
        bench.sent.clear()
        for _ in range(10):
            assert await bench.request() == 200
        assert bench.sent.count(3) == 2
        assert bench.out == []
        assert bench.runtime.counters["circuit_breaker_probes_total"] == 1

    run(test)


def test_one_request_probes_and_the_others_go_elsewhere_meanwhile():
    async def test():
        slow = trio.Event()

        async def answer():
            await slow.wait()
            return 200

        says = {"bad": 503}
        bench = Bench(lambda port: says["bad"] if port == 1 else 200, consecutive_failures=2, ejection="10s")
        for _ in range(10):
            await bench.request()
        await trio.sleep(10)
        bench.sent.clear()
        async with trio.open_nursery() as nursery:
            bench.says = lambda port: answer() if port == 1 else 200
            for _ in range(5):
                nursery.start_soon(bench.request)
            await wait_all_tasks_blocked()
            for _ in range(20):
                await bench.request()
            assert bench.sent.count(1) == 1
            slow.set()
        bench.sent.clear()
        bench.says = lambda port: 200
        for _ in range(10):
            await bench.request()
        assert bench.sent.count(1) == 2

    run(test)


@pytest.mark.parametrize(
    ("said", "out"),
    [
        (500, True), (503, True), (404, False), (200, False),
        (Failure("x", reason="upstream-reset"), True),
        (Failure("x", reason="timeout"), True),
        (Failure("x", reason="client-reset"), False),
        (Refused(503, "overflow"), False),
        (ValueError("the driver's deadline, for one"), True),
    ],
    ids=repr,
)
def test_what_is_held_against_an_endpoint(said, out):
    async def test():
        bench = Bench(lambda port: said if port == 2 else 200, consecutive_failures=3)
        for _ in range(30):
            try:
                await bench.request()
            except ValueError:
                pass
        assert bench.out == ([2] if out else [])

    run(test)


def test_who_goes_away_while_waiting_holds_nothing_against_the_endpoint():
    async def test():
        bench = Bench(lambda port: trio.sleep(60), consecutive_failures=1)
        with trio.move_on_after(1):
            await bench.request()
        assert bench.out == []

    run(test)


def test_a_probe_that_says_nothing_leaves_it_to_the_next():
    async def test():
        says = {"now": 503}
        bench = Bench(lambda port: says["now"] if port == 1 else 200, consecutive_failures=1, ejection="10s")
        for _ in range(5):
            await bench.request()
        await trio.sleep(10)
        says["now"] = Failure("the client left", reason="client-reset")
        while await bench.request() != "client-reset":
            pass
        says["now"] = 200
        bench.sent.clear()
        for _ in range(5):
            await bench.request()
        assert 1 in bench.sent
        assert bench.out == []
        assert bench.runtime.counters["circuit_breaker_probes_total"] == 2
        assert bench.runtime.counters["circuit_breaker_readmissions_total"] == 1

    run(test)


@pytest.mark.parametrize(("nodes", "percent", "out"), [(5, 50, 2), (5, 20, 1), (5, 10, 0), (1, 50, 0), (2, 50, 1)])
def test_no_more_than_the_share_is_ejected(nodes, percent, out):
    async def test():
        bench = Bench(lambda port: 503, NODES[:nodes], max_ejected_percent=percent)
        for _ in range(200):
            assert await bench.request() == 503
        assert len(bench.out) == out
        assert bench.runtime.counters["circuit_breaker_ejections_withheld_total"] > 0

    run(test)


def test_at_a_hundred_percent_a_service_that_is_down_is_not_asked():
    async def test():
        bench = Bench(lambda port: 503, max_ejected_percent=100, consecutive_failures=5, ejection="10s")
        results = [await bench.request() for _ in range(200)]
        assert (results.count(503), results.count("circuit-open")) == (25, 175)
        bench.says = lambda port: 200
        await trio.sleep(10)
        assert [await bench.request() for _ in range(20)] == [200] * 20

    run(test)


def test_circuits_of_endpoints_that_left_are_forgotten():
    async def test():
        nodes = [NODES[0]]
        bench = Bench(lambda port: 200, nodes)
        for number in range(10_000):
            nodes[0] = Endpoint(Address("10.1.0.0", number))
            await bench.request()
        (ward,) = [cell.cell_contents for cell in bench.handler.__closure__ if hasattr(cell.cell_contents, "circuits")]
        assert len(ward.circuits) < 100

    run(test)


# --- limits -----------------------------------------------------------------------------------------------------------


class Slow:
    """A handler whose answers the test lets go, one by one."""

    def __init__(self):
        self.waiting, self.most = [], 0

    async def __call__(self, exchange):
        event = trio.Event()
        self.waiting.append(event)
        self.most = max(self.most, len(self.waiting))
        try:
            await event.wait()
        finally:
            self.waiting.remove(event)
        return Response(200, body=exchange.body)


def limited(next, runtime=None, **limits):
    return CircuitBreaker().build(config(limits=limits), next, runtime or TrioRuntime(1))


def to(backend=BACKEND, body=b""):
    exchange = Exchange()
    exchange.backend, exchange.body = backend, body
    return exchange


def test_without_limits_nothing_is_in_the_way():
    slow = Slow()
    assert limited(slow) is slow
    off = config(consecutive_failures=0, success_rate={"percent": 0})
    assert CircuitBreaker().build_endpoint(off, slow, None) is slow


def test_so_many_are_under_way_so_many_wait_and_the_rest_is_refused():
    async def test():
        slow, runtime, order, refused = Slow(), TrioRuntime(1), [], []
        handler = limited(slow, runtime, connections=3, pending=2, pending_timeout="10s")

        async def one(number):
            try:
                await handler(to())
                order.append(number)
            except Refused as error:
                refused.append((error.status, error.reason, error.fields))

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(one, number)
                await wait_all_tasks_blocked()
            assert len(slow.waiting) == 3
            assert refused == [(503, "overflow", {"retry-after": "1"})]
            while slow.waiting:
                slow.waiting[0].set()
                await wait_all_tasks_blocked()
        assert order == [0, 1, 2, 3, 4], "first come, first served"
        assert slow.most == 3
        assert runtime.counters == {"circuit_breaker_overflow_total": 1}

    run(test)


def test_a_wait_ends_with_its_time_and_its_place_is_not_lost():
    async def test():
        slow = Slow()
        handler = limited(slow, connections=1, pending=5, pending_timeout="2s")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler, to())
            await wait_all_tasks_blocked()
            with pytest.raises(Refused, match="waited 2 s for its turn"):
                await handler(to())
            assert trio.current_time() == 2
            with trio.move_on_after(1):
                await handler(to())  # a client that goes away
            slow.waiting[0].set()
            await wait_all_tasks_blocked()
            nursery.start_soon(handler, to())
            await wait_all_tasks_blocked()
            assert len(slow.waiting) == 1
            slow.waiting[0].set()

    run(test)


def test_places_are_never_lost_or_invented():
    async def test():
        chance, slow = random.Random(4), Slow()
        handler = limited(slow, connections=4, pending=6, pending_timeout="1s")

        async def one():
            await trio.sleep(chance.random() * 20)
            with trio.move_on_after(chance.random() * 3):
                try:
                    await handler(to())
                except Refused:
                    pass

        async def let_go():
            while True:
                await trio.sleep(chance.random() * 0.3)
                if slow.waiting:
                    chance.choice(slow.waiting).set()

        async with trio.open_nursery() as helpers:
            helpers.start_soon(let_go)
            async with trio.open_nursery() as nursery:
                for _ in range(400):
                    nursery.start_soon(one)
            helpers.cancel_scope.cancel()
        assert slow.most == 4
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(handler, to())
            await wait_all_tasks_blocked()
            assert len(slow.waiting) == 4, "all places are free again"
            for event in list(slow.waiting):
                event.set()

    run(test)


class Arriving:
    """A body of one piece."""

    def __init__(self, fails=False):
        self.left, self.fails = [b"piece"], fails

    async def read(self):
        if self.fails:
            raise Failure("gone", reason="upstream-reset")
        return self.left.pop() if self.left else b""

    async def aclose(self):
        pass


@pytest.mark.parametrize("end", ["read", "close", "fails", "forgotten"])
def test_a_request_is_under_way_until_its_answers_body_ends(end):
    async def next(exchange):
        return Response(200, body=exchange.body)

    async def test():
        handler = limited(next, connections=1)
        response = await handler(to(body=Arriving(fails=end == "fails")))
        with pytest.raises(Refused):
            await handler(to())
        if end == "read":
            passed = []

            async def move(body):
                passed.append(body)

            await pass_by(response.body, move)
            assert passed, "what comes before the end may be unseen"
            assert await response.body.read() == b"piece"
            with pytest.raises(Refused):
                await handler(to())
            assert await response.body.read() == b""
        elif end == "fails":
            with pytest.raises(Failure, match="gone"):
                await response.body.read()
        elif end == "forgotten":
            del response
        if end != "forgotten":
            await response.body.aclose()
            await response.body.aclose()
        assert (await handler(to())).status == 200
        assert (await handler(to())).status == 200

    run(test)


def test_a_handler_that_raises_gives_its_place_back_and_backends_have_their_own():
    async def test():
        async def next(exchange):
            if exchange.backend == "bad":
                raise KeyError
            await trio.sleep(60)

        handler = limited(next, connections=1)
        for _ in range(3):
            with pytest.raises(KeyError):
                await handler(to("bad"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler, to("one"))
            await wait_all_tasks_blocked()
            with pytest.raises(KeyError):
                await handler(to("bad"))
            nursery.cancel_scope.cancel()

    run(test)


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"consecutive_failures": -1}, "spec.config.consecutive_failures: expected int >= 0 (-1)"),
        ({"success_rate": {"percent": 200}}, "spec.config.success_rate.percent: expected float <= 100.0 (200)"),
        ({"limits": {"conections": 1}}, "unknown field 'conections'; did you mean 'connections'?"),
        ({"ejection": "1 minute"}, "spec.config.ejection: expected a duration"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(given, problem):
    with pytest.raises(ConfigError) as refused:
        config(**given)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ejection": "0s"}, "ejection: more than 0s"),
        ({"ejection": "10m"}, "max_ejection: at least ejection, which is 600 s; got 300 s"),
        ({"success_rate": {"window": "0s"}}, "success_rate.window: more than 0s"),
        ({"limits": {"pending": 1}}, "limits.pending: nobody waits without limits.connections"),
        ({"limits": {"connections": 1, "pending": 1, "pending_timeout": "0s"}}, "limits.pending_timeout: more than 0s"),
        ({}, None),
    ],
)
def test_what_types_cannot_say(given, problem):
    said = CircuitBreaker().check(config(**given))
    assert [text.startswith(problem) for text in said] == ([True] if problem else [])
