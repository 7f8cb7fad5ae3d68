"""MeshPolicies by kubectl: refused with what would be right, accepted, shown, acting; changed under load."""

import pytest

from tests.e2e.meshed import Load, load, policy

REFUSED = {
    "unknown field": (
        policy("x", "rate-limit", {"request": 5, "per": "1s"}),
        "spec.config: unknown field 'request'; did you mean 'requests'?",
    ),
    "unknown plugin": (
        policy("x", "rate-limt", {"requests": 5, "per": "1s"}),
        "no policy plugin 'rate-limt' is installed; did you mean 'rate-limit'?",
    ),
    "bad value": (policy("x", "timeout", {"request": "soon"}), "spec.config"),
    "no target": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Service"}),
        "targetRef.name is missing: the name of the Service that the policy applies to",
    ),
    "named mesh": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Mesh", "name": "mine"}),
        "there is one Mesh, and it has no name; leave targetRef.name out",
    ),
    "foreign group": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Service", "name": "a", "group": "apps"}),
        "targetRef.group is not the group of targetRef.kind; leave it out",
    ),
    "section of a service": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Service", "name": "a", "sectionName": "b"}),
        "sectionName names a rule of a route",
    ),
    "kind": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Pod", "name": "a"}),
        'supported values: "Service", "HTTPRoute", "GRPCRoute", "Namespace", "Mesh"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_is_refused_with_what_would_be_right(mesh, demo, name):
    given, message = REFUSED[name]
    status, output = mesh.run("apply", "-f", "-", given=given)
    assert status != 0
    assert message in output
    assert mesh.run("-n", "demo", "get", "mp", "x")[0] != 0


def test_a_policy_is_accepted_shown_and_acts(demo):
    demo.apply(policy("broken", "fault", {"abort": {"status": 418}}))
    try:
        assert "fault" in demo("-n", "demo", "get", "mp")
        demo.until(lambda: load(demo, 20)["statuses"] == {"418": 20}, "app-b's clients get 418")
    finally:
        demo("-n", "demo", "delete", "mp", "broken")
    demo.until(lambda: load(demo, 20)["statuses"] == {"200": 20}, "app-b answers again")


def test_hot_reload_under_load_fails_nothing(demo):
    with Load(demo, at_least=500) as under:
        for round_ in range(5):
            demo.apply(
                policy("reload", "timeout", {"request": f"{20 + round_}s"}),
                policy("balance", "balancer", {"name": ("random", "round-robin")[round_ % 2]}),
            )
        demo("-n", "demo", "delete", "mp", "reload", "balance")
    print(f"\nhot reload: {under.nothing_failed()} requests, 0 failed")
