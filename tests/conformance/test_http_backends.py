"""HTTPRouteRule.backendRefs: weights, and what becomes of requests whose backend cannot be."""

import pytest

pytestmark = pytest.mark.trio


async def test_weights(cluster):
    """Core: weight / sum of weights. 70/30 over 500 requests within 5 points."""
    async with cluster("app-b", "app-b2") as c:
        c.m.host.runtime.random.seed(7)
        c.tell(c.route({"backendRefs": [c.backend("app-b", 70), c.backend("app-b2", 30)]}))
        found = await c.share(500)
        assert sum(found.values()) == 500
        assert abs(found["app-b2"] / 500 - 0.30) <= 0.05


async def test_weight_zero(cluster):
    """ "If weight is set to 0, no traffic should be forwarded for this entry"."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(c.route({"backendRefs": [c.backend("app-b", 0), c.backend("app-b2", 1)]}))
        assert await c.share(50) == {"app-b2": 50}


async def test_all_weights_zero(cluster):
    async with cluster("app-b", "app-b2") as c:
        c.tell(c.route({"backendRefs": [c.backend("app-b", 0), c.backend("app-b2", 0)]}))
        assert (await c.get()).status == 500


async def test_a_backend_that_does_not_exist_fails_its_share(cluster, kinds):
    """ "the proportion of requests that would otherwise have been routed to an invalid backend MUST receive a 500"."""
    async with cluster("app-b") as c:
        c.m.host.runtime.random.seed(7)
        c.tell(c.route({"backendRefs": [c.backend("app-b", 1), c.backend("nobody", 1)]}))
        found = await c.share(400)
        assert set(found) == {"app-b", 500}
        assert abs(found[500] / 400 - 0.5) <= 0.08
        assert c.conditions()["ResolvedRefs"] == ("False", "BackendNotFound")


async def test_a_backend_of_another_kind_fails(cluster):
    """ResolvedRefs: InvalidKind, and 500."""
    async with cluster("app-b") as c:
        c.tell(c.route({"backendRefs": [{"group": "x.example", "kind": "Bucket", "name": "b"}]}))
        assert (await c.get()).status == 500
        assert c.conditions()["ResolvedRefs"] == ("False", "InvalidKind")


async def test_no_backends(cluster):
    """A rule without backendRefs and without a redirect: 500; a route replaces what happens without it (GEP-1294)."""
    async with cluster("app-b") as c:
        assert (await c.get()).service == "app-b"
        c.tell(c.route({}))
        answer = await c.get()
        assert (answer.status, answer.reason) == (500, "no-backend")


async def test_no_ready_endpoints(cluster):
    """ "a Service that has no ready endpoints: implementations SHOULD return a 503"."""
    async with cluster("app-b") as c:
        c.service("empty")
        c.tell(c.route(c.rule("empty")))
        answer = await c.get()
        assert (answer.status, answer.reason) == (503, "no-endpoints")


async def test_another_namespace_needs_a_reference_grant(cluster):
    """ResolvedRefs: RefNotPermitted and 500, until there is a ReferenceGrant. Stricter than GEP-1294 asks for."""
    async with cluster("app-b", "far/app-c") as c:
        c.tell(c.route({"backendRefs": [c.backend("app-c", namespace="far")]}))
        assert (await c.get()).status == 500
        assert c.conditions()["ResolvedRefs"] == ("False", "RefNotPermitted")
        c.tell(c.grant("far", to="app-c"))
        assert (await c.get()).service == "app-c"
        assert c.conditions()["ResolvedRefs"] == ("True", "ResolvedRefs")
        c.delete("ReferenceGrant", "grant", "far")
        assert (await c.get()).status == 500


async def test_subsets(cluster):
    """Ours: `{group: tulle.dev, kind: Subset, name: app-b.v2}` is the pods of app-b with the label `version: v2`."""
    async with cluster("app-b", "app-b@v2") as c:
        subset = {"group": "tulle.dev", "kind": "Subset", "name": "app-b.v2", "port": 80}
        c.tell(c.route({"backendRefs": [subset]}))
        assert {(await c.get()).version for _ in range(6)} == {"v2"}
        assert c.conditions()["ResolvedRefs"] == ("True", "ResolvedRefs")
