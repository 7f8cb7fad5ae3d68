"""HTTPRoute: weighted backends, producer and consumer routes, precedence, what is not supported."""

import copy

import pytest
from tulle_control_plane.core import conditions
from tulle_control_plane.core.objects import HTTPRoute


def routes(w, client="default", address="10.96.0.7:80"):
    found = w.destination(address, client).routes
    return [(route.name, {share.backend: share.weight for share in route.backends}) for route in found]


@pytest.fixture
def shop(world, make):
    """app-b and its canary app-b2, an endpoint each."""
    return world(
        make.service("app-b", "10.96.0.7"),
        make.service("app-b2", "10.96.0.8"),
        make.slice("app-b", [make.endpoint("10.244.0.1")]),
        make.slice("app-b2", [make.endpoint("10.244.0.2")]),
    )


def test_no_route_sends_to_the_service(shop):
    found = shop.destination()
    assert found.routes == ()
    assert [b.name for b in found.backends] == ["default/app-b:80"]


def test_a_canary(shop, make):
    shop.tell(make.route(backends={"app-b:80": 90, "app-b2:80": 10}))
    assert routes(shop) == [("default/app-b/0", {"default/app-b:80": 90, "default/app-b2:80": 10})]
    own, canary = shop.destination().backends
    assert (own.name, [e.address for e in own.endpoints]) == ("default/app-b:80", ["10.244.0.1"])
    assert (canary.name, [e.address for e in canary.endpoints]) == ("default/app-b2:80", ["10.244.0.2"])
    assert canary.service.authority == "app-b2.default.svc.cluster.local:80"


def test_weights(shop, make):
    shop.tell(make.route(backends={"app-b:80": 0, "app-b2:80": None}))
    assert routes(shop) == [("default/app-b/0", {"default/app-b:80": 0, "default/app-b2:80": 1})]
    both = {"backendRefs": [make.backend("app-b2:80", 3), make.backend("app-b2:80", 4)]}
    shop.tell(make.route(rules=[both]))
    assert routes(shop) == [("default/app-b/0", {"default/app-b2:80": 7})]
    # the Service's own backend is there all the same: bytes that are no HTTP go to it
    assert [b.name for b in shop.destination().backends] == ["default/app-b:80", "default/app-b2:80"]


@pytest.mark.parametrize("backend", ["nobody:80", "app-b2:81"])
def test_backends_that_do_not_exist_keep_their_share(shop, make, backend):
    shop.tell(make.route(backends={"app-b:80": 1, backend: 1}))
    missing = next(b for b in shop.destination().backends if not b.resolved)
    assert missing.name == f"default/{backend}"
    assert dict(routes(shop)[0][1])[missing.name] == 1
    assert not missing.endpoints


def test_a_backend_that_appears_is_resolved(shop, make):
    shop.tell(make.route(backends={"late:80": 1}))
    assert not shop.destination().backends[1].resolved
    shop.tell(make.service("late", "10.96.0.9"))
    assert shop.destination().backends[1].resolved


def test_a_rule_without_backends_sends_nowhere(shop, make):
    """GEP-1294, "Route presence": a route replaces what would happen without it. The proxy answers 500."""
    shop.tell(make.route(rules=[{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]))
    assert routes(shop) == [("default/app-b/0", {})]
    assert [row.match.path for row in shop.destination().rows] == [None]


def test_no_rules_are_one_for_everything_without_backends(shop, make):
    shop.tell(make.route(rules=[]))
    assert routes(shop) == [("default/app-b/0", {})]


def test_parent_port_and_section(world, make):
    two = make.service(ports=[{"port": 80, "name": "web"}, {"port": 81, "name": "admin"}])
    w = world(two, make.route("on-81", port=81))
    assert [name for name, _ in routes(w)] == []
    assert [name for name, _ in routes(w, address="10.96.0.7:81")] == ["default/on-81/0"]
    by_name = make.route("on-81")
    by_name["spec"]["parentRefs"][0]["sectionName"] = "web"
    w.tell(by_name)
    assert [name for name, _ in routes(w)] == ["default/on-81/0"]
    assert [name for name, _ in routes(w, address="10.96.0.7:81")] == []


def test_the_older_route_comes_first_then_the_name(shop, make):
    shop.tell(
        make.route("a-new", created="2026-02-01T00:00:00Z"),
        make.route("z-old", created="2026-01-01T00:00:00Z"),
        make.route("b-new", created="2026-02-01T00:00:00Z"),
    )
    assert [name for name, _ in routes(shop)] == ["default/z-old/0", "default/a-new/0", "default/b-new/0"]


def test_named_rules(shop, make):
    shop.tell(make.route(rules=[{"name": "canary", "backendRefs": [make.backend("app-b2:80")]}, {}]))
    assert routes(shop) == [
        ("default/app-b/canary", {"default/app-b2:80": 1}),
        ("default/app-b/1", {}),
    ]
    shop.tell(make.route(rules=[{"name": "1"}, {}]))
    assert [name for name, _ in routes(shop)] == ["default/app-b/1", "default/app-b/#1"]


def test_consumer_routes_hold_for_their_own_namespace_and_replace_the_producers(shop, make):
    shop.tell(
        make.route("producer", backends={"app-b2:80": 1}),
        make.route("consumer", ns="team", parent_ns="default"),
    )
    assert routes(shop, "default") == [("default/producer/0", {"default/app-b2:80": 1})]
    assert routes(shop, "elsewhere") == [("default/producer/0", {"default/app-b2:80": 1})]
    assert routes(shop, "team") == [("team/consumer/0", {})]


def test_sending_to_another_namespace_needs_a_grant(shop, make):
    shop.tell(make.service("app-c", "10.96.1.1", ns="far"), make.route(backends={"far/app-c:80": 1}))
    refused = shop.destination().backends[1]
    assert (refused.name, refused.resolved) == ("far/app-c:80#not-permitted", False)
    for grant, resolved in (
        (make.grant("far", of="other"), False),
        (make.grant("far", of="default", to="other"), False),
        (make.grant("default", of="default"), False),
        (make.grant("far", of="default", to="app-c"), True),
        (make.grant("far", of="default"), True),
    ):
        shop.tell(grant)
        assert shop.destination().backends[1].resolved is resolved, grant
    shop.delete("ReferenceGrant", "grant", "far")
    assert not shop.destination().backends[1].resolved


def test_a_consumer_route_may_send_to_the_namespace_that_it_calls(shop, make):
    shop.tell(make.route("mine", ns="team", parent_ns="default", backends={"default/app-b2:80": 1}))
    assert routes(shop, "team") == [("team/mine/0", {"default/app-b2:80": 1})]
    assert all(b.resolved for b in shop.destination(client="team").backends)


def test_routes_say_nothing_about_opaque_bytes(shop, make):
    shop.tell(make.service(ports=[{"port": 80, "appProtocol": "tcp"}]), make.route(backends={"app-b2:80": 1}))
    assert routes(shop) == []
    assert [b.name for b in shop.destination().backends] == ["default/app-b:80"]


# --- what is not supported is refused by name, never ignored ------------------------------------------------

UNSUPPORTED = {
    "matches": ([{"path": {"type": "Fnord"}}], "spec.rules[1].matches[0].path.type"),
    "filters": ([{"type": "ExtensionRef", "extensionRef": {"group": "x", "kind": "y", "name": "z"}}],
                "spec.rules[1].filters[0].type: expected one of RequestHeaderModifier"),
    "timeouts": ({"request": "1 s"}, "spec.rules[1].timeouts.request"),
    "retry": ({"attempts": 99}, "spec.rules[1].retry.attempts"),
    "sessionPersistence": ({"type": "Cloud"}, "spec.rules[1].sessionPersistence.type"),
}  # fmt: skip


@pytest.mark.parametrize("field", UNSUPPORTED)
def test_a_route_with_what_we_cannot_do_is_refused_whole_and_the_last_good_one_stays(shop, make, field):
    shop.tell(make.route(backends={"app-b:80": 90, "app-b2:80": 10}))
    before = shop.destination()
    value, words = UNSUPPORTED[field]
    shop.tell(make.route(rules=[{"backendRefs": [make.backend("app-b2:80")]}, {field: value}]))
    assert words in shop.rejected["HTTPRoute default/app-b"]
    assert shop.destination() == before
    shop.tell(make.route(backends={"app-b2:80": 1}))
    assert not shop.rejected
    assert routes(shop) == [("default/app-b/0", {"default/app-b2:80": 1})]


def test_every_problem_is_named_at_once(shop, make):
    bad = {field: value for field, (value, _) in UNSUPPORTED.items()}
    filters = [{"type": "CORS"}]
    shop.tell(make.route(rules=[{}, bad, {"backendRefs": [{**make.backend("app-b:80"), "filters": filters}]}]))
    problem = shop.rejected["HTTPRoute default/app-b"]
    assert [words for _, words in UNSUPPORTED.values() if words not in problem] == []
    assert "spec.rules[2].backendRefs[0].filters[0].cors: missing" in problem


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("rules", 0, "backendRefs", 0, "weight"), -1, "spec.rules[0].backendRefs[0].weight: expected int >= 0"),
        (("rules", 0, "backendRefs", 0, "weight"), "9", "spec.rules[0].backendRefs[0].weight: expected int"),
        (("rules", 0, "backendRefs", 0, "wieght"), 9, "did you mean 'weight'?"),
        (("rules", 0, "backendRefs", 0, "port"), None, "spec.rules[0].backendRefs[0].port: missing"),
        (("rules", 0, "backendRefs", 0, "port"), 0, "spec.rules[0].backendRefs[0].port: expected int >= 1"),
        (("rules", 0, "backendRefs", 0, "name"), "A b", "spec.rules[0].backendRefs[0].name: 'A b' is no name"),
        (("rules", 0, "backendRefs"), "x", "spec.rules[0].backendRefs: expected array"),
        (("rules", 0, "backendRef"), [], "spec.rules[0]: unknown field 'backendRef'; did you mean 'backendRefs'?"),
        (("rules", 0), None, "spec.rules[0]: expected object, got null"),
        (("rules",), {}, "spec.rules: expected array"),
        (("parentRef",), [], "spec: unknown field 'parentRef'; did you mean 'parentRefs'?"),
        (("parentRefs", 0, "name"), None, "spec.parentRefs[0].name: expected str"),
        (("parentRefs", 0, "name"), "a/b", "spec.parentRefs[0].name: 'a/b' is no name"),
    ],
)
def test_bad_fields_are_named_with_their_path(shop, make, path, value, problem):
    route = copy.deepcopy(make.route(backends={"app-b:80": 1}))
    *way, last = path
    at = route["spec"]
    for step in way:
        at = at[step]
    at[last] = value
    shop.tell(route)
    assert problem in shop.rejected["HTTPRoute default/app-b"]
    assert shop.destination().routes == ()


def test_a_gateways_route_is_none_of_our_business(shop, make):
    route = make.route(backends={"app-b2:80": 1})
    route["spec"]["parentRefs"] = [{"name": "edge"}]
    shop.tell(route)
    assert not shop.rejected
    assert shop.destination().routes == ()


# --- conditions -------------------------------------------------------------------------------------------


def said(w, ns="default", name="app-b"):
    route = w.snapshots.store.get(HTTPRoute, (ns, name))
    return {c.type: (c.status, c.reason, c.message) for c in conditions.of_route(w.snapshots.store, route)}


def test_a_good_route_is_accepted_and_resolved(shop, make):
    shop.tell(make.route(backends={"app-b2:80": 1}))
    assert said(shop) == {"Accepted": ("True", "Accepted", ""), "ResolvedRefs": ("True", "ResolvedRefs", "")}


@pytest.mark.parametrize(
    ("backend", "reason", "words"),
    [
        ("nobody:80", "BackendNotFound", "there is no Service default/nobody"),
        ("app-b2:81", "BackendNotFound", "has no port 81; it has 80"),
        ("far/app-c:80", "RefNotPermitted", "allow it by a ReferenceGrant in 'far'"),
    ],
)
def test_unresolved_references_are_said(shop, make, backend, reason, words):
    shop.tell(make.route(backends={backend: 1}))
    status, found, message = said(shop)["ResolvedRefs"]
    assert (status, found) == ("False", reason)
    assert words in message
    assert "spec.rules[0].backendRefs[0]" in message


def test_another_kind_of_backend_is_said(shop, make):
    shop.tell(make.route(rules=[{"backendRefs": [{"kind": "Bucket", "group": "x.io", "name": "b"}]}]))
    assert said(shop)["ResolvedRefs"][1] == "InvalidKind"
    assert not shop.destination().backends[1].resolved


def test_parents_that_cannot_be_are_said(shop, make):
    shop.tell(make.route(parent="nobody"))
    assert said(shop)["Accepted"][:2] == ("False", "NoMatchingParent")
    shop.tell(make.service("headless", ip=()), make.route(parent="headless"))
    assert "headless" in said(shop)["Accepted"][2]
    shop.tell(make.route(port=99))
    assert "has no port 99; it has 80" in said(shop)["Accepted"][2]
