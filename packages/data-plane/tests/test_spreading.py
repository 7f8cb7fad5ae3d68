"""What every balancer has by itself: panic, the own zone, slow starts. Time is passed in, chance is seeded."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from tulle_data_plane.errors import NoBackend, NoEndpoints
from tulle_data_plane.layers.balance import Backend
from tulle_plugin_api import Address, Balancer, Duration, Endpoint, Exchange
from tulle_plugin_api.balancing import PreferZone, Shared, SlowStart


def endpoints(count, zone=""):
    return tuple(Endpoint(Address(f"10.0.{zone or 0}.{n}", 80), zone=zone) for n in range(1, count + 1))


class Chance(Balancer):
    """Any of them; keeps what it was given."""

    def __init__(self):
        self.random, self.given = random.Random(3), []

    def pick(self, endpoints, exchange):
        self.given.append(endpoints)
        return self.random.choice(endpoints)


class Turns(Balancer):
    """One after the other."""

    def __init__(self):
        self.turn = 0

    def pick(self, endpoints, exchange):
        self.turn += 1
        return endpoints[self.turn % len(endpoints)]


def backend(choice, balancer=None, *, zone="", **shared):
    return Backend("app-b", True, balancer or Chance(), choice, Shared(**shared), zone=zone, random=random.Random(5))


def picks(one, now=0.0, count=2000, tried=()):
    return Counter(one.pick(Exchange(), now, tried) for _ in range(count))


def eject(one, *gone, now=0.0):
    for endpoint in gone:
        one.ejections.failed(endpoint, now)


# --- panic ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ejected", "used"), [(0, 10), (1, 9), (5, 5), (6, 10), (9, 10), (10, 10)])
def test_while_half_are_well_the_ejected_are_left_alone_else_all_are_used(ejected, used):
    choice = endpoints(10)
    one = backend(choice)
    eject(one, *choice[:ejected])
    assert len(picks(one)) == used


@pytest.mark.parametrize(("panic", "used"), [(0, 1), (10, 1), (10.1, 10), (100, 10)])
def test_the_threshold_can_be_set(panic, used):
    choice = endpoints(10)
    one = backend(choice, panic=panic)
    eject(one, *choice[:9])
    assert len(picks(one)) == used


def test_in_panic_a_second_try_goes_to_who_is_well():
    choice = endpoints(10)
    one = backend(choice)
    eject(one, *choice[:6])
    assert set(picks(one, tried=[choice[0]])) == set(choice[6:])
    assert set(picks(one, tried=[choice[0], *choice[6:]])) == set(choice[1:6]), "when all of those were tried, any"


def test_panic_ends_with_the_ejections():
    choice = endpoints(4)
    one = backend(choice)
    eject(one, *choice[:3], now=0.0)
    assert len(picks(one, now=0.5)) == 4
    eject(one, choice[0], now=1.0)
    assert set(picks(one, now=1.5)) == set(choice[1:]), "one of four is out: no panic"


def test_while_nothing_changes_a_balancer_is_given_the_same_object():
    choice = endpoints(10)
    balancer = Chance()
    one = backend(choice, balancer)
    eject(one, choice[0])
    picks(one)
    assert len({id(given) for given in balancer.given}) == 1
    assert isinstance(balancer.given[0], tuple)


def test_labels_that_change_are_seen_although_endpoints_compare_equal():
    choice = endpoints(3)
    balancer = Chance()
    one = backend(choice, balancer)
    eject(one, choice[0])
    picks(one, count=3)
    one.update(True, [replace(endpoint, labels=(("version", "2"),)) for endpoint in choice])
    picks(one, count=3)
    assert {endpoint.labels for endpoint in balancer.given[-1]} == {(("version", "2"),)}


def test_nobody_is_there():
    one = backend(())
    with pytest.raises(NoEndpoints):
        one.pick(Exchange(), 0.0, [])
    one.update(False, ())
    with pytest.raises(NoBackend):
        one.pick(Exchange(), 0.0, [])
    one.update(True, endpoints(1))
    assert one.pick(Exchange(), 0.0, []) == endpoints(1)[0]
    with pytest.raises(NoEndpoints, match="that accepts a connection"):
        one.pick(Exchange(), 0.0, list(endpoints(1)))


# --- the own zone -----------------------------------------------------------------------------------------------------


def share_of(zone, counts):
    return sum(count for endpoint, count in counts.items() if endpoint.zone == zone) / counts.total()


NEAR, FAR = endpoints(10, "1"), endpoints(10, "2")


@pytest.mark.parametrize(
    ("ejected", "share"),
    # Envoy's table for an overprovisioning factor of 1.4
    [(0, 1.0), (2, 1.0), (3, 0.98), (5, 0.7), (8, 0.28), (10, 0.0)],
)
def test_the_own_zone_as_far_as_it_is_well_and_the_rest_spills_over(ejected, share):
    one = backend(NEAR + FAR, zone="1", prefer_zone=PreferZone())
    eject(one, *NEAR[:ejected])
    counts = picks(one, count=5000)
    assert share_of("1", counts) == pytest.approx(share, abs=0.02)
    assert not set(NEAR[:ejected]) & set(counts)


@pytest.mark.parametrize(
    ("zone", "choice", "settings"),
    [
        ("", NEAR + FAR, PreferZone()),
        ("3", NEAR + FAR, PreferZone()),
        ("1", NEAR[:3] + FAR, PreferZone(minimum=4)),
        ("1", NEAR + FAR, None),
    ],
    ids=["own zone unknown", "nobody near", "too few near", "not asked for"],
)
def test_no_preference(zone, choice, settings):
    one = backend(choice, zone=zone, prefer_zone=settings)
    assert set(picks(one)) == set(choice)


def test_a_zone_that_is_left_alone_is_no_outage():
    one = backend(NEAR + FAR, zone="1", prefer_zone=PreferZone())
    one.update(True, FAR)
    assert set(picks(one)) == set(FAR)
    one.update(True, NEAR[:2] + FAR)
    assert set(picks(one)) == set(NEAR[:2])


def test_a_second_try_may_go_anywhere():
    one = backend(NEAR[:1] + FAR, zone="1", prefer_zone=PreferZone())
    assert set(picks(one, tried=[NEAR[0]])) == set(FAR)


def test_overprovisioning_of_one_spills_with_the_first_that_fails():
    one = backend(NEAR + FAR, zone="1", prefer_zone=PreferZone(overprovisioning=1.0))
    eject(one, NEAR[0])
    assert share_of("1", picks(one, count=5000)) == pytest.approx(0.9, abs=0.02)


# --- slow start -------------------------------------------------------------------------------------------------------

START = SlowStart(window=Duration(30), minimum=10)


def weight(counts, new, others):
    """What the new one got, in parts of what each other got."""
    return counts[new] / (sum(counts[one] for one in others) / len(others))


@pytest.mark.parametrize("balancer", [Chance, Turns])
@pytest.mark.parametrize(("age", "expected"), [(0, 0.1), (2.9, 0.1), (15, 0.5), (24, 0.8), (30, 1.0), (300, 1.0)])
def test_a_new_endpoint_warms_up(balancer, age, expected):
    before, after = endpoints(4), endpoints(5)
    one = backend(before, balancer(), slow_start=START)
    one.update(True, after)
    one.pick(Exchange(), 100.0, [])  # from here on it could have got requests
    counts = picks(one, now=100.0 + age, count=20_000)
    assert weight(counts, after[4], before) == pytest.approx(expected, abs=0.05)


def test_aggression_bends_the_curve():
    before, after = endpoints(4), endpoints(5)
    one = backend(before, slow_start=SlowStart(window=Duration(30), aggression=2.0))
    one.update(True, after)
    one.pick(Exchange(), 0.0, [])
    # (1/4) ** (1/2)
    assert weight(picks(one, now=7.5, count=20_000), after[4], before) == pytest.approx(0.5, abs=0.05)


def test_whoever_was_there_at_first_is_warm_and_so_are_all_that_come_to_nobody():
    one = backend(endpoints(5), Turns(), slow_start=START)
    assert set(picks(one, count=10).values()) == {2}
    one.update(True, ())
    one.update(True, endpoints(5))
    assert set(picks(one, count=10).values()) == {2}


def test_one_that_leaves_and_returns_starts_again():
    one = backend(endpoints(5), slow_start=START)
    one.update(True, endpoints(4))
    one.update(True, endpoints(5))
    one.pick(Exchange(), 0.0, [])
    assert weight(picks(one, now=1.0, count=20_000), endpoints(5)[4], endpoints(4)) == pytest.approx(0.1, abs=0.05)


def test_a_balancer_that_names_the_same_one_for_ever_gets_it():
    class Always(Balancer):
        def pick(self, endpoints, exchange):
            return endpoints[-1]

    one = backend(endpoints(4), Always(), slow_start=SlowStart(window=Duration(30), minimum=1))
    one.update(True, endpoints(5))
    assert set(picks(one, count=100)) == {endpoints(5)[4]}


def test_without_it_a_new_endpoint_gets_its_share_at_once():
    one = backend(endpoints(4), Turns())
    one.update(True, endpoints(5))
    assert set(picks(one, count=100).values()) == {20}


def test_a_new_configuration_goes_on_where_the_old_one_was():
    before = backend(endpoints(4), slow_start=START)
    before.update(True, endpoints(5))
    before.pick(Exchange(), 0.0, [])
    eject(before, endpoints(5)[0])
    after = backend(endpoints(6), slow_start=START)
    after.inherit(before)
    after.update(True, endpoints(6))
    assert endpoints(5)[0] not in picks(after, now=0.5)
    after.inherit(before)
    after.update(True, endpoints(6))
    after.pick(Exchange(), 15.0, [])
    counts = picks(after, now=15.9, count=20_000)
    warm = endpoints(5)[1:4]
    assert endpoints(5)[0] in counts, "its ejection is over"
    assert weight(counts, endpoints(6)[4], warm) == pytest.approx(0.53, abs=0.06)
    assert weight(counts, endpoints(6)[5], warm) == pytest.approx(0.1, abs=0.05)
