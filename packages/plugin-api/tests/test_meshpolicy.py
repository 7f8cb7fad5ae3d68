"""MeshPolicy: a table of what is wrong and what is then said."""

import copy

import pytest
from tulle_plugin_api import Config, ConfigError, Duration, Policy, duration
from tulle_plugin_api.meshpolicy import plugin_of, validate


class LimitConfig(Config):
    """At most so many."""

    requests: int
    per: Duration = duration("1s")


class Limit(Policy[LimitConfig]):
    """A policy with a rule that types cannot express."""

    config = LimitConfig

    def build(self, config, next, runtime):
        return next

    def check(self, config):
        return [] if config.requests > 0 else [f"requests: at least 1, got {config.requests}"]


class Broken(Limit):
    """A stranger's, with a mistake."""

    def check(self, config):
        raise KeyError("oops")


def weighted(config, runtime):
    """A balancer that takes configuration."""
    if set(config) - {"decay"}:
        raise ValueError(f"weighted takes decay, got {sorted(config)}")
    runtime.random.random()


def strict(config, runtime):
    """A balancer that explains itself."""
    raise ConfigError(["spec.config.decay: too small"])


def broken(config, runtime):
    """A stranger's, with a mistake."""
    raise KeyError("oops")


POLICIES = {"rate-limit": Limit(), "broken": Broken()}
BALANCERS = {"weighted": weighted, "strict": strict, "broken": broken}

NAMELESS = "spec.targetRef.name: missing; the name of the Service that the policy applies to"

GOOD = {
    "apiVersion": "tulle.dev/v1alpha1",
    "kind": "MeshPolicy",
    "metadata": {"name": "app-b-limit", "namespace": "default"},
    "spec": {"targetRef": {"kind": "Service", "name": "app-b"}, "type": "rate-limit", "config": {"requests": 100}},
}


def changed(path, value):
    """GOOD with the value at `path`, "spec.type", replaced; or removed when it is `...`."""
    obj = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = obj
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return obj


def test_a_good_one():
    assert validate(GOOD, POLICIES) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.targetRef", {"kind": "Mesh"}),
        ("spec.targetRef", {"kind": "Namespace", "name": "default"}),
        ("spec.targetRef", {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "app-b"}),
        ("spec.config", {"requests": 1, "per": "1m"}),
        ("status", {"conditions": []}),
        ("spec", {"targetRef": {"kind": "Mesh"}, "type": "balancer", "config": {"name": "weighted", "decay": 1}}),
    ],
)
def test_other_good_ones(path, value):
    obj = changed(path, value) if path != "status" else {**GOOD, "status": value}
    assert validate(obj, POLICIES, BALANCERS) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("apiVersion", "tulle.dev/v1", "apiVersion: expected 'tulle.dev/v1alpha1', got 'tulle.dev/v1'"),
        ("kind", "MeshPolcy", "kind: expected 'MeshPolicy', got 'MeshPolcy'"),
        ("spce", {}, "spce: unknown field; did you mean 'spec'?"),
        ("spec", ..., "spec: missing; it needs targetRef, type and config"),
        ("spec", [], "spec: missing; it needs targetRef, type and config"),
        ("spec.tragetRef", {}, "spec.tragetRef: unknown field; did you mean 'targetRef'?"),
        ("spec.zzz", {}, "spec.zzz: unknown field; known: config, targetRef, type"),
        (
            "spec.targetRef",
            ...,
            "spec.targetRef: missing; say what the policy applies to, such as {kind: Service, name: app-b}",
        ),
        ("spec.targetRef.nmae", "x", "spec.targetRef.nmae: unknown field; did you mean 'name'?"),
        (
            "spec.targetRef.kind",
            "Pod",
            "spec.targetRef.kind: expected one of Service, HTTPRoute, GRPCRoute, Namespace, Mesh, got 'Pod'",
        ),
        ("spec.targetRef.name", ..., NAMELESS),
        ("spec.targetRef.name", 3, NAMELESS),
        ("spec.targetRef.name", "", NAMELESS),
        ("spec.type", ..., "spec.type: missing; known: balancer, broken, rate-limit"),
        (
            "spec.type",
            "rate-limits",
            "spec.type: no policy plugin 'rate-limits' is installed; did you mean 'rate-limit'?",
        ),
        ("spec.type", "x", "spec.type: no policy plugin 'x' is installed; known: balancer, broken, rate-limit"),
        ("spec.type", ["x"], "spec.type: no policy plugin ['x'] is installed; known: balancer, broken, rate-limit"),
        ("spec.config", "100", "spec.config: expected a mapping, got '100'"),
        ("spec.config", ..., "spec.config: object missing required field requests"),
        ("spec.config.requests", "100", "spec.config.requests: expected int, got str ('100')"),
        ("spec.config.requets", 1, "spec.config: unknown field 'requets'; did you mean 'requests'?"),
        ("spec.config.requests", 0, "spec.config.requests: at least 1, got 0"),
        (
            "spec.config.per",
            "1",
            "spec.config.per: expected a duration such as \"10s\", \"500ms\" or \"1h30m\", got '1'",
        ),
        ("spec.type", "broken", "spec.config: policy broken failed to check it (KeyError: 'oops'); ask its author"),
    ],
)
def test_what_is_wrong_and_what_would_be_right(path, value, problem):
    assert validate(changed(path, value), POLICIES, BALANCERS) == [problem]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "spec.config.name: missing; which balancer? known: broken, strict, weighted"),
        ({"name": "wieghted"}, "spec.config.name: no balancer 'wieghted' is installed; did you mean 'weighted'?"),
        ({"name": ["x"]}, "spec.config.name: no balancer ['x'] is installed; known: broken, strict, weighted"),
        ({"name": "weighted", "speed": 1}, "spec.config: weighted takes decay, got ['speed']"),
        ({"name": "strict"}, "spec.config.decay: too small"),
        ({"name": "broken"}, "spec.config: balancer broken failed to check it (KeyError: 'oops'); ask its author"),
    ],
)
def test_balancers(config, problem):
    obj = changed("spec", {"targetRef": {"kind": "Mesh"}, "type": "balancer", "config": config})
    assert validate(obj, POLICIES, BALANCERS) == [problem]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"type": "retry"}, ("policy", "retry")),
        ({"type": "balancer", "config": {"name": "random"}}, ("balancer", "random")),
        ({"type": "balancer"}, None),
        ({"type": ["retry"]}, None),
        (None, None),
    ],
)
def test_which_plugin_it_names(spec, names):
    assert plugin_of({"spec": spec}) == names


def test_all_problems_at_once():
    spec = {"targetRef": {"kind": "Pod"}, "type": "rate-limit", "config": {"requests": "x"}}
    obj = {"kind": "MeshPolicy", "spec": spec}
    assert [problem.split(":")[0] for problem in validate(obj, POLICIES)] == [
        "apiVersion",
        "spec.targetRef.kind",
        "spec.config.requests",
    ]
