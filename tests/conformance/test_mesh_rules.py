"""GEP-1294 (the Gateway API for meshes): parents, ports, namespaces, kinds of routes."""

import pytest
from conformance_objects import backend, conditions, policy, route, rule

pytestmark = pytest.mark.trio


async def test_a_service_without_routes_works_as_ever(cluster):
    """ "When no xRoute resources are defined, all traffic should implicitly work"."""
    async with cluster("app-b") as c:
        assert (await c.get()).service == "app-b"


async def test_matching_is_by_address_and_not_by_host(cluster):
    """The Service's cluster IP decides ("applies ... if the destination ip address ... is the ClusterIP")."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b2")))
        # the client says "Host: app-b" whatever it dials
        assert (await c.get()).service == "app-b2"
        c.delete("HTTPRoute", "app-b")
        assert (await c.get()).service == "app-b"
        assert (await c.get(service="app-b2")).service == "app-b2"


async def test_hostnames_say_nothing(cluster):
    """ "implementations SHOULD NOT infer any functionality from the `hostnames` field"."""
    async with cluster("app-b", "app-b2") as c:
        with_hostnames = route(rule("app-b2"))
        with_hostnames["spec"]["hostnames"] = ["elsewhere.example"]
        c.tell(with_hostnames)
        assert (await c.get()).service == "app-b2"


async def test_parent_port(cluster):
    """ "If port is set, the implementation MUST associate the route only with that port"; else with all."""
    async with cluster("app-b", "app-b2") as c:
        parent = {"group": "", "kind": "Service", "name": "app-b", "port": 81}
        c.tell(route(rule("app-b2"), parents=[parent]))
        assert [(await c.get(port=port)).service for port in (80, 81)] == ["app-b", "app-b2"]
        del parent["port"]
        c.tell(route(rule("app-b2"), parents=[parent]))
        assert [(await c.get(port=port)).service for port in (80, 81)] == ["app-b2", "app-b2"]


async def test_consumer_routes(cluster):
    """ "consumer routes are scoped only the same namespace"; they replace the producer's for its clients."""
    async with cluster("app-b", "app-b2", "app-b3") as c:
        c.tell(route(rule("app-b2")), route({"backendRefs": [backend("app-b3", namespace="default")]},
                                                 name="mine", namespace="far"))  # fmt: skip
        assert (await c.get(client="far")).service == "app-b3"
        assert (await c.get(client="default")).service == "app-b2"
        assert (await c.get(client="elsewhere")).service == "app-b2"


async def test_only_the_first_level_of_routes_is_used(cluster):
    """ "if we have multiple "levels" of Routes defined, only the first will be used"."""
    async with cluster("app-b", "app-b2", "app-b3") as c:
        parent = {"group": "", "kind": "Service", "name": "app-b2"}
        c.tell(route(rule("app-b2")), route(rule("app-b3"), name="second", parents=[parent]))
        assert (await c.get()).service == "app-b2"
        assert (await c.get(service="app-b2")).service == "app-b3"


async def test_calls_to_a_pod_are_not_routed(cluster):
    """ "when sent to a Service backend (ex: curl pod-ip), it would not"."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b2")))
        assert (await c.get()).service == "app-b2"
        assert (await c.call_pod("app-b")).service == "app-b"


async def test_headless_services_are_no_parents(cluster):
    """ "Headless Services SHOULD NOT be supported as a parentRef"."""
    async with cluster("app-b") as c:
        c.service("none", headless=True)
        c.tell(route(rule("app-b"), parents=[{"group": "", "kind": "Service", "name": "none"}]))
        assert (await conditions(c))["Accepted"] == ("False", "NoMatchingParent")


async def test_of_two_kinds_of_routes_grpc_holds(cluster):
    """ "only a single route type should be applied. The rejected routes ... reason RouteReasonConflicted"."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b2")), route(rule("app-b"), kind="GRPCRoute", name="grpc"))
        assert (await c.get()).service == "app-b"
        assert (await conditions(c))["Accepted"] == ("False", "Conflicted")
        assert (await conditions(c, "grpc", kind="GRPCRoute"))["Accepted"] == ("True", "Accepted")


async def test_calls_from_a_team_go_to_version_two(cluster):
    """Ours: `tulle.dev/from-labels` and a Subset: policy-based routing on metadata, without a change of an app."""
    subset = {"group": "tulle.dev", "kind": "Subset", "name": "app-b.v2", "port": 80}
    async with cluster("app-b", "app-b@v2") as c:
        c.tell(
            route({"backendRefs": [{**subset, "name": "app-b.v1"}]}),
            route({"backendRefs": [subset]}, name="beta", annotations={"tulle.dev/from-labels": "team=beta"}),
        )
        for team, version in (("beta", "v2"), ("alpha", "v1")):
            answers = [await c.get(labels={"team": team}) for _ in range(4)]
            assert {answer.version for answer in answers} == {version}


async def test_a_route_for_some_leaves_the_others_alone(cluster):
    """Ours: without a route for everybody, whoever none of them takes calls the Service as without routes."""
    only = {"matches": [{"path": {"value": "/new"}}], "backendRefs": [{"name": "app-b2", "port": 80}]}
    async with cluster("app-b", "app-b2", "app-b3") as c:
        c.tell(route(only, name="beta", annotations={"tulle.dev/from-labels": "team=beta"}))
        beta = {"labels": {"team": "beta"}}
        assert [(await c.get(path, **beta)).service for path in ("/new", "/old")] == ["app-b2", "app-b"]
        assert (await c.get("/new")).service == "app-b"
        # of a consumer's namespace: the others follow the producer's routes
        c.tell(route(rule("app-b3"), name="producer"))
        mine = {**only, "backendRefs": [{"name": "app-b2", "namespace": "default", "port": 80}]}
        c.tell(route(mine, name="mine", namespace="far", annotations={"tulle.dev/from-labels": "team=x"}))
        assert (await c.get("/new", client="far")).service == "app-b3"
        assert (await c.get("/new", client="far", labels={"team": "x"})).service == "app-b2"


@pytest.mark.parametrize(
    ("annotation", "mine", "other"),
    [("namespaces", "default", "far"), ("service-accounts", "default/default", "default/robot")],
)
async def test_routes_for_some_clients(cluster, annotation, mine, other):
    """Ours: `tulle.dev/from-namespaces`, `tulle.dev/from-service-accounts`."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b")))
        for value, served in ((mine, "app-b2"), (other, "app-b")):
            name = f"tulle.dev/from-{annotation}"
            c.tell(route(rule("app-b2"), name="some", annotations={name: value}))
            assert (await c.get()).service == served


async def test_a_rejected_change_is_rejected_whole(cluster):
    """PartiallyInvalid: of the two ways that are left to us the second, "Fall Back" to the last good version."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b2")))
        c.refusals_are_meant = True
        await c.send()
        c.tell(route(rule("app-b"), rule("app-b", {"path": {"value": "/a//b"}})))
        assert "spec.rules[1].matches[0].path.value" in (await c.rejected())["HTTPRoute default/app-b"]
        (row,) = await c.rows("HTTPRoute")
        said = {each["type"]: each for each in row["conditions"]}
        assert said["Accepted"]["status"] == "True"
        assert said["PartiallyInvalid"]["message"].startswith("Fall Back")
        assert (await c.get()).service == "app-b2"


async def test_mesh_policies_the_nearest_holds(cluster):
    """Ours: rule by sectionName, then route, then Service; a rule's own field is nearer than all."""

    def edit(value):
        return {"request": {"set": {"x-from": value}}}

    async with cluster("app-b") as c:
        rules = [rule("app-b", {"path": {"value": f"/{name}"}}, name=name) for name in ("one", "two")]
        c.tell(route(*rules))
        c.tell(policy("service", "headers", {"kind": "Service", "name": "app-b"}, edit("service")))
        assert (await c.get("/one")).sent("x-from") == ["service"]
        c.tell(policy("route", "headers", {"kind": "HTTPRoute", "name": "app-b"}, edit("route")))
        c.tell(policy("rule", "headers", {"kind": "HTTPRoute", "name": "app-b"}, edit("rule"), section="two"))
        assert (await c.get("/one")).sent("x-from") == ["route"]
        assert (await c.get("/two")).sent("x-from") == ["rule"]
