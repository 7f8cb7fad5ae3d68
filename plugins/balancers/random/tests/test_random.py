"""The odds are those of the weights. Seeded, so that chance plays no part in whether the tests pass."""

from collections import Counter
from itertools import pairwise

import pytest
from tulle_balancer_random import Random
from tulle_plugin_api import Address, Endpoint, Exchange, TrioRuntime, load


def endpoints(*weights):
    return tuple(Endpoint(Address(f"10.0.0.{n}", 8080), weight=weight) for n, weight in enumerate(weights, 1))


def shares(choice, count=20_000):
    balancer = Random({}, TrioRuntime(seed=7))
    counts = Counter(balancer.pick(choice, Exchange()) for _ in range(count))
    return [counts[e] / count for e in choice]


def test_it_is_installed_under_its_name():
    assert load().balancers["random"] is Random


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1,), (1.0,)),
        ((1, 1, 1), (1 / 3, 1 / 3, 1 / 3)),
        ((5, 5), (0.5, 0.5)),
        ((9, 1), (0.9, 0.1)),
        ((0, 1, 1), (0.0, 0.5, 0.5)),
        ((0, 0), (0.5, 0.5)),  # nothing else is left
    ],
)
def test_odds(weights, expected):
    # 20,000 draws: a standard deviation is at most 0.35 points
    assert shares(endpoints(*weights)) == pytest.approx(expected, abs=0.015)


def test_draws_are_independent():
    # round-robin would never pick the same one twice running; chance does so half of the time
    balancer, choice = Random({}, TrioRuntime(seed=7)), endpoints(1, 1)
    order = [balancer.pick(choice, Exchange()) for _ in range(2000)]
    repeats = sum(one is other for one, other in pairwise(order))
    assert 900 < repeats < 1100


def test_a_changed_set_is_seen_at_once():
    balancer = Random({}, TrioRuntime(seed=7))
    before, after = endpoints(1, 9), endpoints(1, 9)[:1]
    balancer.pick(before, Exchange())
    assert {balancer.pick(after, Exchange()) for _ in range(50)} == set(after)


def test_configuration_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="random takes no configuration, got 'seed'; leave it out"):
        Random({"seed": 3}, TrioRuntime())
