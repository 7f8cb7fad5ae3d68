"""Draws by weight, and the settings of every balancer."""

from collections import Counter
from random import Random

import pytest
from tulle_plugin_api import Address, ConfigError, Endpoint
from tulle_plugin_api.balancing import Draw, split, usable
from tulle_plugin_api.meshpolicy import validate


def endpoints(*weights):
    return tuple(Endpoint(Address(f"10.0.0.{n}", 80), weight=weight) for n, weight in enumerate(weights, 1))


def test_usable():
    some = endpoints(1, 0, 2)
    assert list(usable(some)) == [some[0], some[2]]
    nothing_else = endpoints(0, 0)
    assert usable(nothing_else) == nothing_else


@pytest.mark.parametrize("weights", [(1, 1, 1), (9, 1), (5, 0, 5), (0, 0), (1,), (1, 1_000_000)])
def test_the_first_has_the_odds_of_its_weight(weights):
    choice = endpoints(*weights)
    draw, random = Draw(choice), Random(6)
    ones = Counter(draw.one(random) for _ in range(10_000))
    firsts = Counter(draw.two(random)[0] for _ in range(10_000))
    total = sum(weights) or len(weights)
    for one in choice:
        expected = (one.weight if any(weights) else 1) / total
        assert ones[one] / 10_000 == pytest.approx(expected, abs=0.015)
        assert firsts[one] / 10_000 == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1, 1), (9, 1), (1, 1_000_000, 1), (1_000_000, 1)])
def test_two_differ(weights):
    draw, random = Draw(endpoints(*weights)), Random(6)
    pairs = [draw.two(random) for _ in range(2000)]
    assert all(first is not second for first, second in pairs)
    if len(set(weights)) == 1:
        seconds = Counter(second for _, second in pairs)
        assert all(count / 2000 == pytest.approx(1 / len(weights), abs=0.05) for count in seconds.values())


def test_one_alone_is_both():
    only = endpoints(3)
    assert Draw(only).two(Random(1)) == (only[0], only[0])
    assert Draw(endpoints(0, 7)).two(Random(1)) == (endpoints(0, 7)[1],) * 2


def test_shared_settings_are_told_from_the_balancers_own():
    shared, own = split({"panic": 0, "slow_start": {"window": "30s"}, "prefer_zone": {}, "header": "x-user"})
    assert own == {"header": "x-user"}
    assert shared.panic == 0
    assert shared.slow_start is not None
    assert (shared.slow_start.window, shared.slow_start.aggression, shared.slow_start.minimum) == (30, 1, 10)
    assert shared.prefer_zone is not None
    assert (shared.prefer_zone.overprovisioning, shared.prefer_zone.minimum) == (1.4, 1)
    bare, nothing = split({})
    assert (bare.panic, bare.slow_start, bare.prefer_zone, nothing) == (50, None, None, {})


BAD = [
    ({"panic": 101}, "spec.config.panic: percent, 0 to 100, got 101"),
    ({"panic": "half"}, "spec.config.panic: expected float, got str ('half')"),
    ({"slow_start": {}}, "spec.config.slow_start: object missing required field window"),
    ({"slow_start": {"window": 30}}, "spec.config.slow_start.window: expected a duration"),
    ({"slow_start": {"window": "0s"}}, 'spec.config.slow_start.window: more than nothing, such as "30s"'),
    ({"slow_start": {"window": "1s", "aggression": 0}}, "spec.config.slow_start.aggression: more than 0"),
    ({"slow_start": {"window": "1s", "minimum": 0}}, "spec.config.slow_start.minimum: percent, 1 to 100, got 0"),
    ({"slow_start": {"windov": "1s"}}, "spec.config.slow_start: unknown field 'windov'; did you mean 'window'?"),
    ({"prefer_zone": {"overprovisioning": 0.9}}, "spec.config.prefer_zone.overprovisioning: at least 1, got 0.9"),
    ({"prefer_zone": {"minimum": 0}}, "spec.config.prefer_zone.minimum: at least 1, got 0"),
    ({"prefer_zone": True}, "spec.config.prefer_zone: expected object | null, got bool"),
]


@pytest.mark.parametrize(("config", "problem"), BAD)
def test_bad_shared_settings_are_refused_by_the_webhook_too(config, problem):
    with pytest.raises(ConfigError) as refused:
        split(config)
    assert refused.value.problems[0].startswith(problem)
    policy = {
        "apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": "x"},
        "spec": {"targetRef": {"kind": "Mesh"}, "type": "balancer", "config": {"name": "any", **config}},
    }  # fmt: skip
    (said, *_) = validate(policy, {}, {"any": lambda config, runtime: None})
    assert said.startswith(problem)


def test_configuration_that_is_no_mapping():
    with pytest.raises(ConfigError, match=r"^spec\.config: expected a mapping, got \[1\]$"):
        split([1])
