"""Turns are fair, smooth by weight, and survive any change of the endpoints."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_balancer_round_robin import RoundRobin
from tulle_plugin_api import Address, Endpoint, Exchange, TrioRuntime, load


def endpoint(number, weight=1):
    return Endpoint(Address(f"10.0.0.{number}", 8080), pod=f"app-b-{number}", weight=weight)


def endpoints(*weights):
    return tuple(endpoint(number, weight) for number, weight in enumerate(weights, 1))


@pytest.fixture
def balancer():
    return RoundRobin({}, TrioRuntime(seed=1))


def picks(balancer, choice, count):
    return [balancer.pick(choice, Exchange()) for _ in range(count)]


def test_it_is_installed_under_its_name():
    assert load().balancers["round-robin"] is RoundRobin


def test_three_replicas_get_a_third_each(balancer):
    counts = Counter(picks(balancer, endpoints(1, 1, 1), 10_000))
    assert sorted(counts.values()) == [3333, 3333, 3334]


def test_each_round_visits_everyone_once_in_the_same_order(balancer):
    order = picks(balancer, endpoints(1, 1, 1, 1), 12)
    assert len(set(order[:4])) == 4
    assert order[:4] == order[4:8] == order[8:]


def test_weights_are_smooth(balancer):
    order = [e.pod[-1] for e in picks(balancer, endpoints(3, 1), 400)]
    # one in any four in a row is the light one: never "a a a b b a a a"
    assert {order[i : i + 4].count("2") for i in range(397)} == {1}


@given(st.lists(st.integers(1, 100), min_size=1, max_size=6), st.integers(1, 500))
def test_nobody_is_more_than_a_turn_ahead_or_behind(weights, count):
    choice = endpoints(*weights)
    counts = Counter(picks(RoundRobin({}, TrioRuntime(seed=1)), choice, count))
    for one in choice:
        for other in choice:
            lead = counts[one] / one.weight - counts[other] / other.weight  # in rounds
            assert lead <= 1 / one.weight + 1 / other.weight + 1e-9


@given(st.lists(st.tuples(st.sets(st.integers(1, 6), min_size=1), st.integers(1, 20)), min_size=1, max_size=30))
def test_fair_from_any_change_on(changes):
    """Whatever came before: while a set of endpoints stands, no two of them are more than one request apart."""
    balancer = RoundRobin({}, TrioRuntime(seed=1))
    for numbers, count in changes:
        choice = tuple(endpoint(number) for number in sorted(numbers))
        counts = Counter(picks(balancer, choice, count))
        assert max(counts[e] for e in choice) - min(counts[e] for e in choice) <= 1


def test_a_change_before_every_request_favours_nobody(balancer):
    # a cursor that restarts at zero would send everything to the first; one taken modulo n, nearly so
    stays, flapping = endpoints(1, 1, 1), endpoints(1, 1, 1, 1)
    counts = Counter(balancer.pick((stays, flapping)[i % 2], Exchange()) for i in range(12_000))
    shares = [counts[e] / 12_000 for e in stays]
    assert max(shares) - min(shares) < 0.02
    assert counts[flapping[3]] / 12_000 <= 0.26


def test_one_that_fails_each_time_and_is_left_out_of_the_retry_gains_no_turns(balancer):
    everyone = endpoints(1, 1, 1)
    failing, others = everyone[0], everyone[1:]
    first_tries = Counter()
    for _ in range(9000):
        picked = balancer.pick(everyone, Exchange())
        first_tries[picked] += 1
        if picked is failing:
            balancer.pick(others, Exchange())
    # it takes a turn a round, and each of its retries takes half a turn of each of the others
    assert first_tries[failing] / 9000 == pytest.approx(0.5, abs=0.02)


def test_leaving_and_returning_gains_no_extra_turn(balancer):
    everyone = endpoints(1, 1, 1)
    for _ in range(50):  # each time the one that is picked fails, and the try after it goes elsewhere
        first = balancer.pick(everyone, Exchange())
        elsewhere = tuple(e for e in everyone if e is not first)
        second = balancer.pick(elsewhere, Exchange())
        assert balancer.pick(everyone, Exchange()) not in (first, second)


def test_an_equal_set_in_a_new_list_is_no_change(balancer):
    counts = Counter(balancer.pick(list(endpoints(1, 1, 1)), Exchange()) for _ in range(9))
    assert set(counts.values()) == {3}


def test_many_proxies_do_not_begin_with_the_same_endpoint():
    choice = endpoints(1, 1, 1)
    first = Counter(RoundRobin({}, TrioRuntime(seed)).pick(choice, Exchange()) for seed in range(300))
    assert all(first[e] > 60 for e in choice)


def test_a_weight_that_changes_takes_effect_within_a_round(balancer):
    before, after = endpoints(1, 99), endpoints(99, 99)
    while balancer.pick(before, Exchange()) is not before[0]:  # its next turn is a whole round away
        pass
    counts = Counter(picks(balancer, after, 20))
    assert counts[after[0]] in (9, 10, 11)


def test_weight_zero_means_no_traffic_unless_nothing_else_is_left(balancer):
    drained, serving = endpoints(0, 1)
    assert set(picks(balancer, (drained, serving), 10)) == {serving}
    assert set(picks(balancer, (drained,), 10)) == {drained}


def test_configuration_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="round-robin takes no configuration, got 'sticky'; leave it out"):
        RoundRobin({"sticky": True}, TrioRuntime())
