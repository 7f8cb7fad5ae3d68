"""MeshPolicy: nearest target wins for each type, each direction gets its own, reach is limited."""

import json

import pytest
from tulle_control_plane.core import conditions
from tulle_control_plane.core.objects import HTTPRoute, MeshPolicy


def outbound(w, **kwargs):
    return {(p.type, p.source.removeprefix("MeshPolicy ")) for p in w.destination(**kwargs).policies}


@pytest.fixture
def shop(world, make):
    return world(
        make.service(),
        make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]),
        make.pod("p", "10.244.0.1", ports=[8080, 9090]),
    )


def test_nearest_wins_for_each_type(shop, make):
    shop.tell(
        make.policy("mesh", "Mesh", ns="tulle-system"),
        make.policy("mesh-fault", "Mesh", type="fault", ns="tulle-system"),
    )
    assert outbound(shop) == {("timeout", "tulle-system/mesh"), ("fault", "tulle-system/mesh-fault")}
    shop.tell(make.policy("ns", "Namespace", "default"))
    assert outbound(shop) == {("timeout", "default/ns"), ("fault", "tulle-system/mesh-fault")}
    shop.tell(make.policy("svc", "Service", "app-b", config={"n": 7}))
    assert outbound(shop) == {("timeout", "default/svc"), ("fault", "tulle-system/mesh-fault")}
    assert json.loads(next(p for p in shop.destination().policies if p.type == "timeout").config) == {"n": 7}
    shop.delete("MeshPolicy", "svc")
    assert outbound(shop) == {("timeout", "default/ns"), ("fault", "tulle-system/mesh-fault")}


def test_policies_of_a_route_travel_with_it_and_the_named_rule_is_nearest(shop, make):
    shop.tell(
        make.route(rules=[{"name": "first"}, {}]),
        make.policy("svc", "Service", "app-b"),
        make.policy("route", "HTTPRoute", "app-b"),
        make.policy("rule", "HTTPRoute", "app-b", section="first"),
    )
    first, second = shop.destination().routes
    assert [p.source for p in first.policies] == ["MeshPolicy default/rule"]
    assert [p.source for p in second.policies] == ["MeshPolicy default/route"]
    assert outbound(shop) == {("timeout", "default/svc")}


def test_a_target_of_the_same_name_elsewhere_is_another(shop, make):
    shop.tell(make.policy("other-ns", "Service", "app-b", ns="team"), make.policy("other-name", "Service", "app-c"))
    assert outbound(shop) == set()


def test_of_two_on_one_target_the_older_holds_and_the_other_is_told(shop, make):
    shop.tell(
        make.policy("a", "Service", "app-b", created="2026-02-01T00:00:00Z"),
        make.policy("z", "Service", "app-b", created="2026-01-01T00:00:00Z"),
    )
    assert outbound(shop) == {("timeout", "default/z")}
    store = shop.snapshots.store
    (loser,) = conditions.of_policy(store, store.get(MeshPolicy, ("default", "a")))
    (winner,) = conditions.of_policy(store, store.get(MeshPolicy, ("default", "z")))
    assert (loser.status, loser.reason) == ("False", "Conflicted")
    assert "default/z" in loser.message
    assert winner.status == "True"


def test_a_policy_without_its_target_is_told(shop, make):
    shop.tell(make.policy("lost", "Service", "nobody"))
    store = shop.snapshots.store
    (condition,) = conditions.of_policy(store, store.get(MeshPolicy, ("default", "lost")))
    assert (condition.status, condition.reason) == ("False", "TargetNotFound")


@pytest.mark.parametrize("kind", ["policy", "balancer"])
def test_a_policy_whose_plugin_was_uninstalled_is_told_and_stays_in_force(shop, make, kind):
    config = {"name": "random"} if kind == "balancer" else {}
    type_ = "balancer" if kind == "balancer" else "timeout"
    shop.tell(make.policy("p", "Service", "app-b", type=type_, config=config))
    gone = {(kind, "random" if kind == "balancer" else "timeout"): "acme-plugins"}
    store = shop.snapshots.store
    policy = store.get(MeshPolicy, ("default", "p"))
    (condition,) = conditions.of_policy(store, policy, gone)
    assert (condition.status, condition.reason) == ("False", "PluginMissing")
    assert "acme-plugins" in condition.message
    assert conditions.of_policy(store, policy)[0].status == "True"
    assert shop.destination().balancer == "random" if kind == "balancer" else shop.destination().policies


EDIT = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "1"}]}}
MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "app-b", "port": 80}}}
TO = {"name": "app-b", "port": 80}


@pytest.mark.parametrize(
    ("plugin", "where", "rule"),
    [
        ("headers", "spec.rules[0].filters[0]", {"filters": [EDIT], "backendRefs": [TO]}),
        ("headers", "spec.rules[0].backendRefs[0].filters[0]", {"backendRefs": [{**TO, "filters": [EDIT]}]}),
        ("mirror", "spec.rules[0].filters[1]", {"filters": [EDIT, MIRROR], "backendRefs": [TO]}),
        ("timeout", "spec.rules[0]", {"timeouts": {"request": "1s"}, "backendRefs": [TO]}),
    ],
)
def test_a_route_whose_filters_plugin_was_uninstalled_is_told_and_stays_in_force(shop, make, plugin, where, rule):
    shop.tell(make.route("r", rules=[rule]))
    store = shop.snapshots.store
    route = store.get(HTTPRoute, ("default", "r"))
    accepted, resolved = conditions.of_route(store, route, {("policy", plugin): "acme-plugins"})
    assert (accepted.type, accepted.status, accepted.reason) == ("Accepted", "False", "PluginMissing")
    assert accepted.message.startswith(f"{where}: policy '{plugin}' is not installed any more")
    assert "acme-plugins" in accepted.message
    assert resolved.status == "True"
    (parent,) = conditions.of_parents(store, route, {("policy", plugin): "acme-plugins"})
    assert parent == (accepted, resolved)
    for gone in ({}, {("policy", "another"): "acme-plugins"}, {("balancer", plugin): "acme-plugins"}):
        assert conditions.of_route(store, route, gone)[0].status == "True"
    assert shop.destination().routes[0].name == "default/r/0"  # it is in force


def test_each_side_gets_what_runs_there(shop, make):
    for type_ in ("timeout", "authorization", "fault"):
        shop.tell(make.policy(type_, "Service", "app-b", type=type_))
    assert {p.type for p in shop.destination().policies} == {"timeout", "fault"}
    at_port = {port.port: {p.type for p in port.policies} for port in shop.inbound("p").ports}
    assert at_port == {8080: {"authorization", "fault"}, 9090: set()}
    shop.tell(make.policy("ns-authz", "Namespace", "default", type="authorization"))
    at_port = {port.port: {p.source for p in port.policies} for port in shop.inbound("p").ports}
    assert at_port[9090] == {"MeshPolicy default/ns-authz"}  # a port that no Service leads to is protected too
    assert "MeshPolicy default/ns-authz" not in at_port[8080]


def test_balancer(shop, make):
    assert (shop.destination().balancer, shop.destination().balancer_config) == ("", "")
    shop.tell(make.policy("b", "Service", "app-b", type="balancer", config={"name": "random", "z": 1, "a": 2}))
    found = shop.destination()
    assert (found.balancer, found.balancer_config) == ("random", '{"a":2,"z":1}')
    assert found.policies == ()  # it is no policy
    assert shop.inbound("p").ports[0].policies == ()


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"kind": "Mesh"}, "belongs in the namespace 'tulle-system'"),
        ({"kind": "Namespace", "target": "other"}, "belongs in it or in 'tulle-system'"),
        ({"kind": "Service", "target": "app-b", "type": "timeuot"}, "did you mean 'timeout'?"),
        ({"kind": "Service", "target": "app-b", "config": {"n": "x"}}, "spec.config.n: expected int, got str"),
        ({"kind": "Service", "target": "app-b", "config": {"m": 1}}, "unknown field 'm'"),
        ({"kind": "Servcie", "target": "app-b"}, "spec.targetRef.kind: expected one of"),
        ({"kind": "Service"}, "spec.targetRef.name: missing"),
        ({"kind": "Service", "target": "app-b", "section": "x"}, "only a route has sections"),
        ({"kind": "Service", "target": "app-b", "type": "balancer", "config": {"name": "rnd"}}, "no balancer 'rnd'"),
        ({"kind": "HTTPRoute", "target": "r", "type": "balancer", "config": {"name": "random"}}, "not for a HTTPRoute"),
    ],
)
def test_bad_policies_are_refused_and_the_last_good_one_stays(shop, make, policy, problem):
    shop.tell(make.policy("p", "Service", "app-b"))
    before = shop.destination()
    shop.tell(make.policy("p", **policy))
    assert problem in shop.rejected["MeshPolicy default/p"]
    assert shop.destination() == before


def test_a_policy_may_not_reach_into_another_namespace(shop, make):
    policy = make.policy("p", "Service", "app-b", ns="team")
    policy["spec"]["targetRef"]["namespace"] = "default"
    shop.tell(policy)
    assert "move the policy there" in shop.rejected["MeshPolicy team/p"]
    assert outbound(shop) == set()


def test_the_system_namespace_may_reach_any_namespace(shop, make):
    shop.tell(make.policy("p", "Namespace", "default", ns="tulle-system"))
    assert outbound(shop) == {("timeout", "tulle-system/p")}


def shadows(shop):
    return {b.name: (b.resolved, [e.address for e in b.endpoints]) for b in shop.destination().backends[1:]}


def test_where_a_policy_sends_to_is_a_backend_that_no_route_has(shop, make):
    shop.tell(make.policy("m", "Service", "app-b", type="mirror", config={"n": 80}))
    assert shadows(shop) == {"default/shadow:80": (False, [])}
    shop.tell(
        make.service("shadow", ip="10.96.0.8"),
        make.slice("shadow", endpoints=[make.endpoint("10.244.0.8", "s")]),
    )
    assert shadows(shop) == {"default/shadow:80": (True, ["10.244.0.8"])}, "and what happens there is told"
    assert not shop.destination().routes
    shop.delete("MeshPolicy", "m")
    assert shadows(shop) == {}


def test_so_is_where_a_policy_of_a_route_sends_to_and_each_backend_is_there_once(shop, make):
    shop.tell(make.route(), make.policy("m", "HTTPRoute", "app-b", type="mirror", config={"n": 80}),
              make.policy("s", "Service", "app-b", type="mirror", config={"n": 40}))
    assert list(shadows(shop)) == ["default/shadow:80"]


def test_a_policy_plugin_that_raises_when_it_is_asked_sends_nowhere(shop, make, caplog):
    shop.tell(make.policy("m", "Service", "app-b", type="mirror", config={"n": 0}))
    assert shadows(shop) == {}
    assert "policy plugin mirror" in caplog.text
    assert outbound(shop) == {("mirror", "default/m")}


def test_nobody_sends_requests_where_only_bytes_go(shop, make):
    shop.tell(make.service(ports=[80], annotations={"tulle.dev/opaque-ports": "80"}),
              make.policy("m", "Service", "app-b", type="mirror", config={"n": 80}))
    assert shadows(shop) == {}


def test_a_policy_for_a_rule_that_is_not_there_is_told_so(world, make):
    from tulle_control_plane.core import conditions
    from tulle_control_plane.core.objects import MeshPolicy

    w = world(
        make.service("app-b", "10.96.0.7"), make.route(rules=[{"name": "one"}]),
        make.policy("p", "HTTPRoute", "app-b", section="two"),
    )  # fmt: skip
    store = w.snapshots.store
    (said,) = conditions.of_policy(store, store.get(MeshPolicy, ("default", "p")))
    assert (said.status, said.reason) == ("False", "TargetNotFound")
    assert said.message == "HTTPRoute default/app-b has no rule named 'two'; it has one"
    w.tell(make.policy("p", "HTTPRoute", "app-b", section="one"))
    assert conditions.of_policy(store, store.get(MeshPolicy, ("default", "p")))[0].status == "True"
