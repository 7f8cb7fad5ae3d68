"""Shares without load and under load, in simulated time; seeded, so that chance plays no part in whether tests pass."""

import pytest
from tulle_balancer_least_request import LeastRequest
from tulle_plugin_api import Exchange, load
from tulle_plugin_api.contract import SteppingRuntime
from tulle_plugin_api.contract.samples import endpoint, endpoints
from tulle_plugin_api.contract.simulation import chi_square, simulate

FIVE = endpoints(5)
SLOW = FIVE[0]


def ten_times_slower(which):
    return lambda one: 0.1 if one is which else 0.01


def run(choice, **options):
    runtime = SteppingRuntime(seed=4)
    return simulate(LeastRequest({}, runtime), runtime, choice, **options)


def test_it_is_installed_under_its_name():
    assert load().balancers["least-request"] is LeastRequest


@pytest.mark.parametrize("clients", [1, 40])
def test_ten_replicas_get_a_tenth_each(clients):
    choice = endpoints(10)
    counts = run(choice, clients=clients).picks
    # 9 degrees of freedom, 5 %
    assert chi_square([counts[one] for one in choice], [0.1] * 10) < 16.92


@pytest.mark.parametrize("clients", [1, 40])
def test_weights_are_kept(clients):
    heavy, light = endpoint(1, weight=90), endpoint(2, weight=10)
    assert run((heavy, light), clients=clients).share(heavy) == pytest.approx(0.9, abs=0.01)


def test_a_slow_endpoint_gets_little():
    seen = run(FIVE, clients=32, seconds=ten_times_slower(SLOW))
    assert seen.share(SLOW) < 0.05
    assert sum(seen.picks[one] for one in FIVE[1:]) / 4 > 2300


def test_chance_alone_would_give_it_a_fifth():
    class Blind(LeastRequest):
        def started(self, endpoint):
            """Takes no notice."""

    runtime = SteppingRuntime(seed=4)
    seen = simulate(Blind({}, runtime), runtime, FIVE, clients=32, seconds=ten_times_slower(SLOW))
    assert seen.share(SLOW) > 0.15


def test_two_choices_keep_the_busiest_within_a_few_of_the_average():
    # 100 at one time on 20: five each on average; one random choice has one of 12 or more
    seen = run(endpoints(20), clients=100)
    assert max(seen.most.values()) <= 9


def test_the_less_busy_of_two():
    runtime = SteppingRuntime()
    balancer, (one, other) = LeastRequest({}, runtime), endpoints(2)
    balancer.started(one)
    assert {balancer.pick((one, other), Exchange()) for _ in range(50)} == {other}
    balancer.finished(one, 0.1, failed=False)
    assert {balancer.pick((one, other), Exchange()) for _ in range(50)} == {one, other}


def test_busy_is_by_weight():
    runtime = SteppingRuntime()
    balancer, big, small = LeastRequest({}, runtime), endpoint(1, weight=4), endpoint(2)
    for _ in range(3):
        balancer.started(big)
    balancer.started(small)
    assert {balancer.pick((big, small), Exchange()) for _ in range(50)} == {big}  # 3/4 is less than 1


def test_configuration_is_refused_with_its_path():
    with pytest.raises(ValueError, match=r"^spec\.config: unknown field 'choices'"):
        LeastRequest({"choices": 3}, SteppingRuntime())
