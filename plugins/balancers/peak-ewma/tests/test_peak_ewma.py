"""Estimates, and the shares that follow from them, in simulated time."""

import pytest
from tulle_balancer_peak_ewma import PeakEwma
from tulle_plugin_api import Exchange, load
from tulle_plugin_api.contract import SteppingRuntime
from tulle_plugin_api.contract.samples import endpoint, endpoints
from tulle_plugin_api.contract.simulation import chi_square, simulate

FIVE = endpoints(5)
SLOW = FIVE[0]


def ten_times_slower(which):
    return lambda one: 0.1 if one is which else 0.01


def run(choice, config=(), **options):
    runtime = SteppingRuntime(seed=4)
    return simulate(PeakEwma(dict(config), runtime), runtime, choice, **options)


def picks(balancer, choice, count=50):
    return {balancer.pick(choice, Exchange()) for _ in range(count)}


def saw(balancer, one, seconds, failed=False):
    balancer.started(one)
    balancer.finished(one, seconds, failed)


def test_it_is_installed_under_its_name():
    assert load().balancers["peak-ewma"] is PeakEwma


@pytest.mark.parametrize("clients", [1, 4, 32])
def test_a_slow_endpoint_gets_little_even_without_load(clients):
    seen = run(FIVE, clients=clients, seconds=ten_times_slower(SLOW))
    assert seen.share(SLOW) < 0.05
    # what callers feel: p99 as if it were not there
    assert seen.quantile(0.95) <= 1.3 * run(FIVE[1:], clients=clients).quantile(0.95)


def test_equals_get_equal_shares():
    # Not independent draws, so no chi-square: latencies vary, and who was slow a moment ago gets less for a moment.
    choice = endpoints(10)
    counts = run(choice, clients=40).picks
    assert all(800 < counts[one] < 1200 for one in choice)


def test_before_anything_is_known_shares_are_even():
    choice, runtime = endpoints(10), SteppingRuntime(seed=4)
    balancer = PeakEwma({}, runtime)
    picked = [balancer.pick(choice, Exchange()) for _ in range(10_000)]
    assert chi_square([picked.count(one) for one in choice], [0.1] * 10) < 16.92  # 9 degrees of freedom, 5 %


@pytest.mark.parametrize("weights", [(90, 10), (6, 3, 1), (1, 0, 1)], ids=str)
def test_weights_are_the_odds_among_equals(weights):
    choice = tuple(endpoint(n, weight=weight) for n, weight in enumerate(weights, 1))
    balancer = PeakEwma({}, SteppingRuntime(seed=4))
    picked = [balancer.pick(choice, Exchange()) for _ in range(10_000)]
    for one in choice:
        assert picked.count(one) / 10_000 == pytest.approx(one.weight / sum(weights), abs=0.01)


def test_a_weight_does_not_save_who_is_slow():
    heavy, light = endpoint(1, weight=60), endpoint(2, weight=40)
    seen = run((heavy, light), clients=8, seconds=ten_times_slower(heavy))
    assert seen.share(heavy) == pytest.approx(0.36, abs=0.02)  # 0.6 x 0.6: drawn against itself, else never


def test_a_peak_counts_at_once():
    balancer, (one, other) = PeakEwma({}, SteppingRuntime()), endpoints(2)
    for _ in range(20):
        saw(balancer, one, 0.01)
        saw(balancer, other, 0.01)
    saw(balancer, one, 1.0)
    assert picks(balancer, (one, other)) == {other}


def test_a_peak_fades():
    runtime = SteppingRuntime()
    balancer, (one, other) = PeakEwma({"decay": "10s"}, runtime), endpoints(2)
    saw(balancer, one, 1.0)
    for _ in range(60):  # the other answers each second, and so is always fresh
        saw(balancer, other, 0.05)
        if runtime.now() < 1020:
            assert picks(balancer, (one, other)) == {other}
        runtime.advance(1)
    # exp(-6) of a second is 2.5 ms: it gets its chance again
    assert one in picks(balancer, (one, other))


def test_quick_answers_bring_the_estimate_down_slowly():
    runtime = SteppingRuntime()
    balancer, (one, other) = PeakEwma({"decay": "10s", "default": "100ms"}, runtime), endpoints(2)
    saw(balancer, one, 1.0)
    for _ in range(3):
        runtime.advance(1)
        saw(balancer, one, 0.01)
        saw(balancer, other, 0.1)
        assert picks(balancer, (one, other)) == {other}


def test_quick_errors_attract_nobody():
    runtime = SteppingRuntime()
    balancer, (good, broken) = PeakEwma({}, runtime), endpoints(2)
    for _ in range(30):
        saw(balancer, good, 0.02)
        saw(balancer, broken, 0.0001, failed=True)
        runtime.advance(0.1)
    assert picks(balancer, (good, broken)) == {good}


def test_requests_under_way_count():
    balancer, (one, other) = PeakEwma({}, SteppingRuntime()), endpoints(2)
    saw(balancer, one, 0.01)
    saw(balancer, other, 0.03)
    for _ in range(4):  # 10 ms for each of five is more than 30
        balancer.started(one)
    saw(balancer, other, 0.01)
    assert other in picks(balancer, (one, other))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"decay": "0s"}, r'^spec\.config\.decay: more than nothing, such as "10s", got 0 s$'),
        ({"decay": 10}, r"^spec\.config\.decay: expected a duration"),
        ({"decai": "1s"}, r"^spec\.config: unknown field 'decai'; did you mean 'decay'\?$"),
    ],
)
def test_bad_configuration(config, problem):
    with pytest.raises(ValueError, match=problem):
        PeakEwma(config, SteppingRuntime())
