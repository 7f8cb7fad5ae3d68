"""GRPCRoute: its matches are paths in the same table. Asked in HTTP/1.1, until the proxy has a codec for HTTP/2."""

import pytest
from conformance_objects import backend, route, rule

pytestmark = pytest.mark.trio


def method(service=None, method=None, kind="Exact"):
    given = {"type": kind, "service": service, "method": method}
    return {"method": {name: value for name, value in given.items() if value}}


async def served(c, *paths, **fields):
    return [(await c.request("POST", path, **fields)).service for path in paths]


async def test_service_and_method(cluster):
    """Core: Exact with service and method; a service alone, too. "Characters in a matching service" come first."""
    async with cluster("app-b", "app-b2", "app-b3") as c:
        rules = [rule("app-b"), rule("app-b2", method("foo.Bar")), rule("app-b3", method("foo.Bar", "Get"))]
        for order in (rules, rules[::-1]):
            c.tell(route(*order, kind="GRPCRoute"))
            assert await served(c, "/foo.Bar/Get", "/foo.Bar/Put", "/foo.Bars/Get", "/foo.Bar/Get/x") == [
                "app-b3", "app-b2", "app-b", "app-b2",
            ]  # fmt: skip


async def test_method_alone_and_regular_expressions(cluster):
    """Implementation-specific, both."""
    async with cluster("app-b", "app-b2", "app-b3") as c:
        regular = method("foo[.].*", "P.*", "RegularExpression")
        c.tell(route(rule("app-b2", method(None, "Get")), rule("app-b3", regular), kind="GRPCRoute"))
        assert await served(c, "/any.Thing/Get", "/foo.Bar/Put", "/foo.Bar/Del") == ["app-b2", "app-b3", ""]


async def test_headers(cluster):
    """Core: GRPCHeaderMatch, as HTTPHeaderMatch."""
    async with cluster("app-b", "app-b2") as c:
        match = {"headers": [{"name": "Version", "value": "2"}]}
        c.tell(route(rule("app-b2", match), rule("app-b"), kind="GRPCRoute"))
        assert await served(c, "/a.B/C", version="2") == ["app-b2"]
        assert await served(c, "/a.B/C") == ["app-b"]


async def test_weights_and_header_edits(cluster):
    """Core: GRPCBackendRef.weight and GRPCRouteFilter.requestHeaderModifier, as HTTPRoute has them."""
    async with cluster("app-b", "app-b2") as c:
        edit = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-a", "value": "1"}]}}
        rule = {"filters": [edit], "backendRefs": [backend("app-b", 0), backend("app-b2", 1)]}
        c.tell(route(rule, kind="GRPCRoute"))
        answer = await c.request("POST", "/a.B/C")
        assert (answer.service, answer.sent("x-a")) == ("app-b2", ["1"])


async def test_named_rules_of_grpc(cluster):
    """Extended, GRPCRouteNamedRouteRule (GEP-995): as HTTPRoute has them."""
    async with cluster("app-b", "app-b2") as c:
        rules = [rule("app-b2", method("foo.Bar", "Get"), name="get"), rule("app-b", method("foo.Bar"))]
        c.tell(route(*rules, kind="GRPCRoute"))
        assert await served(c, "/foo.Bar/Get", "/foo.Bar/NamedPut") == ["app-b2", "app-b"]
        taken = await c.routes_taken("/foo.Bar/Get", "/foo.Bar/NamedPut")
        assert taken == ["default/app-b/get", "default/app-b/1"]
