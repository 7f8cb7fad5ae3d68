"""Who is picked. No mesh, no network, no waiting: a balancer is a function of its arguments."""

import pytest
from tulle_balancer_follow_header import FollowHeader
from tulle_plugin_api import Address, ConfigError, Endpoint, Exchange, Headers, TrioRuntime

OLD = Endpoint(Address("10.0.0.1", 8080), labels=(("app", "b"), ("version", "1")))
OLD2 = Endpoint(Address("10.0.0.2", 8080), labels=(("app", "b"), ("version", "1")))
NEW = Endpoint(Address("10.0.0.3", 8080), labels=(("app", "b"), ("version", "2")))
BARE = Endpoint(Address("10.0.0.4", 8080))
ALL = (OLD, OLD2, NEW, BARE)


def picks(config, endpoints=ALL, **fields):
    balancer = FollowHeader(config, TrioRuntime(seed=1))
    request = Exchange(Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()]))
    return {balancer.pick(endpoints, request) for _ in range(100)}


@pytest.mark.parametrize(
    ("config", "fields", "expected"),
    [
        ({}, {"x_version": "2"}, {NEW}),
        ({}, {"X_Version": "1"}, {OLD, OLD2}),
        ({}, {}, set(ALL)),
        ({}, {"x_version": "3"}, set(ALL)),
        ({"default": "1"}, {}, {OLD, OLD2}),
        ({"default": "1"}, {"x_version": "3"}, {OLD, OLD2}),
        ({"default": "1", "missing": "anywhere"}, {"x_version": "3"}, set(ALL)),
        ({"default": "9"}, {}, set(ALL)),
        ({"header": "x-lane", "label": "app"}, {"x_lane": "b"}, {OLD, OLD2, NEW}),
    ],
)
def test_the_header_decides(config, fields, expected):
    assert picks(config, **fields) == expected


def test_endpoints_come_and_go():
    balancer = FollowHeader({"default": "1"}, TrioRuntime(seed=1))
    request = Exchange(Headers.of([("x-version", "2")]))
    assert balancer.pick(ALL, request) == NEW
    without = (OLD,)
    assert balancer.pick(without, request) == OLD
    assert balancer.pick(ALL, request) == NEW


def test_a_header_that_cannot_be():
    with pytest.raises(ConfigError, match=r"spec\.config\.header: 'x version' is not a field name"):
        picks({"header": "x version"})
