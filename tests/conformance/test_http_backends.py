"""HTTPRouteRule.backendRefs: weights, and what becomes of requests whose backend cannot be."""

import pytest
from conformance_objects import about, backend, conditions, grant, route, rule, share, versions

pytestmark = pytest.mark.trio


async def test_weights(cluster):
    """Core: weight / sum of weights. 70/30 over 500 requests within 5 points."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route({"backendRefs": [backend("app-b", 70), backend("app-b2", 30)]}))
        assert await about(c, {"app-b": 0.7, "app-b2": 0.3}, 0.05)


async def test_weight_zero(cluster):
    """ "If weight is set to 0, no traffic should be forwarded for this entry"."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route({"backendRefs": [backend("app-b", 0), backend("app-b2", 1)]}))
        assert await share(c, 50) == {"app-b2": 50}


async def test_all_weights_zero(cluster):
    """BackendRef.weight, HTTPRouteRule.backendRefs: where all are 0 nobody is left to send to: 500."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route({"backendRefs": [backend("app-b", 0), backend("app-b2", 0)]}))
        assert (await c.get()).status == 500


async def test_a_backend_that_does_not_exist_fails_its_share(cluster):
    """ "the proportion of requests that would otherwise have been routed to an invalid backend MUST receive a 500"."""
    async with cluster("app-b") as c:
        c.tell(route({"backendRefs": [backend("app-b", 1), backend("nobody", 1)]}))
        assert await about(c, {"app-b": 0.5, 500: 0.5}, 0.05)
        assert (await conditions(c))["ResolvedRefs"] == ("False", "BackendNotFound")


async def test_a_backend_of_another_kind_fails(cluster):
    """ResolvedRefs: InvalidKind, and 500."""
    async with cluster("app-b") as c:
        c.tell(route({"backendRefs": [{"group": "x.example", "kind": "Bucket", "name": "b"}]}))
        assert (await c.get()).status == 500
        assert (await conditions(c))["ResolvedRefs"] == ("False", "InvalidKind")


async def test_no_backends(cluster):
    """A rule without backendRefs and without a redirect: 500; a route replaces what happens without it (GEP-1294)."""
    async with cluster("app-b") as c:
        assert (await c.get()).service == "app-b"
        c.tell(route({}))
        answer = await c.get()
        assert (answer.status, answer.reason) == (500, "no-backend")


async def test_no_ready_endpoints(cluster):
    """ "a Service that has no ready endpoints: implementations SHOULD return a 503"."""
    async with cluster("app-b") as c:
        c.service("empty")
        c.tell(route(rule("empty")))
        answer = await c.get()
        assert (answer.status, answer.reason) == (503, "no-endpoints")


async def test_another_namespace_needs_a_reference_grant(cluster):
    """ResolvedRefs: RefNotPermitted and 500, until there is a ReferenceGrant. Stricter than GEP-1294 asks for."""
    async with cluster("app-b", "far/app-c") as c:
        c.tell(route({"backendRefs": [backend("app-c", namespace="far")]}))
        assert (await c.get()).status == 500
        assert (await conditions(c))["ResolvedRefs"] == ("False", "RefNotPermitted")
        c.tell(grant("far", to="app-c"))
        assert (await c.get()).service == "app-c"
        assert (await conditions(c))["ResolvedRefs"] == ("True", "ResolvedRefs")
        c.delete("ReferenceGrant", "grant", "far")
        assert (await c.get()).status == 500


async def test_websockets(cluster, real_servers):
    """Extended, HTTPRouteBackendProtocolWebSocket (GEP-1911): a backend whose port says `kubernetes.io/ws`."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route({"matches": [{"path": {"value": "/ws"}}], "backendRefs": [backend("app-b2", port=82)]}))
        head, body = await c.upgrade("/ws", "ping")
        assert head.startswith("HTTP/1.1 101 ")
        assert "x-service: app-b2" in head
        assert body == "ping"
        head, _ = await c.upgrade("/other", "ping")
        assert head.startswith("HTTP/1.1 404 ")


async def test_subsets(cluster):
    """Ours: `{group: tulle.dev, kind: Subset, name: app-b.v2}` is the pods of app-b with the label `version: v2`."""
    async with cluster("app-b", "app-b@v2") as c:
        subset = {"group": "tulle.dev", "kind": "Subset", "name": "app-b.v2", "port": 80}
        c.tell(route({"backendRefs": [subset]}))
        assert await versions(c) == {"v2"}
        assert (await conditions(c))["ResolvedRefs"] == ("True", "ResolvedRefs")
