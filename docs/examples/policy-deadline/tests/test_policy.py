"""What is written, refused and given up, on a virtual clock; the wall clock is the test's own."""

import pytest
import tulle_policy_deadline
from tulle_plugin_api import PROBE_ROUTE, Exchange, Headers, Refused, Response, TimedOut
from tulle_plugin_api.config import decode
from tulle_plugin_api.contract import SteppingRuntime
from tulle_policy_deadline import Deadline, DeadlineConfig

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _wall(monkeypatch):
    monkeypatch.setattr(tulle_policy_deadline, "wall", lambda: NOW)


def run(given=None, *, takes=0.0, route="", **config):
    """A request that takes `takes` seconds; its status, and the deadline that the application saw."""
    runtime, seen = SteppingRuntime(), []

    async def application(exchange):
        seen.append(exchange.headers.get("x-deadline"))
        await runtime.sleep(takes)
        return Response(200)

    handler = Deadline().build(decode(DeadlineConfig, config), application, runtime)
    exchange = Exchange(Headers.of([] if given is None else [("x-deadline", given)]))
    exchange.route = route
    return runtime.run(handler(exchange)).status, seen[0]


def at(seconds):
    return str(round((NOW + seconds) * 1000))


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, at(10)),
        (at(3), at(3)),
        (at(3600), at(10)),
        ("tomorrow", at(10)),
        ("-1", at(10)),
        ("9" * 16, at(10)),
    ],
)
def test_the_deadline_that_goes_on(given, seen):
    assert run(given) == (200, seen)


def test_what_is_late_is_refused_and_reaches_nobody():
    with pytest.raises(Refused, match=r"passed 0\.250 s ago") as refused:
        run(at(-0.25))
    assert (refused.value.status, refused.value.reason) == (504, "deadline-passed")


def test_what_becomes_late_is_given_up():
    assert run(at(3), takes=2.9) == (200, at(3))
    with pytest.raises(TimedOut, match=r"within the 3\.000 s that were left"):
        run(at(3), takes=3.2)
    with pytest.raises(TimedOut):
        run(takes=1, budget="500ms")


def test_a_kubelets_probe_is_left_alone():
    assert run(at(-5), route=PROBE_ROUTE) == (200, at(-5))
