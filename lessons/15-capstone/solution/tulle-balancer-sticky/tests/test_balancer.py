"""Who is picked. No mesh, no network, no waiting: a balancer is a function of its arguments."""

from tulle_balancer_sticky import StickyBalancer
from tulle_plugin_api import Address, Endpoint, Exchange, Headers, TrioRuntime

ALL = tuple(Endpoint(Address(f"10.0.0.{number}", 8080)) for number in range(1, 4))


def pick(user, endpoints, seed=1):
    headers = Headers.of([("x-user", user)] if user else [])
    return StickyBalancer({}, TrioRuntime(seed=seed)).pick(endpoints, Exchange(headers))


def test_a_user_stays_in_every_proxy():
    for user in ("ann", "bob", "eve"):
        assert len({pick(user, ALL, seed) for seed in range(5)}) == 1


def test_users_are_spread():
    assert {pick(f"user-{number}", ALL) for number in range(60)} == set(ALL)


def test_only_the_users_of_an_endpoint_that_left_move():
    for number in range(60):
        before, after = pick(f"user-{number}", ALL), pick(f"user-{number}", ALL[1:])
        assert before == ALL[0] or after == before


def test_without_a_user_any_will_do():
    assert {pick("", ALL, seed) for seed in range(40)} == set(ALL)
