"""HTTPRouteMatch: which rule takes a request. Citations are of the API's own description (HTTPRoute v1)."""

import pytest
from conformance_objects import route, rule

pytestmark = pytest.mark.trio

NAMES = ("app-b", "app-b2", "app-b3")


def path(value, kind="PathPrefix"):
    return {"path": {"type": kind, "value": value}}


def header(name, value, kind="Exact"):
    return {"headers": [{"type": kind, "name": name, "value": value}]}


def query(name, value, kind="Exact"):
    return {"queryParams": [{"type": kind, "name": name, "value": value}]}


async def test_path_exact(cluster):
    """ "Exact": the URL path with case sensitivity, and nothing else."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", path("/one", "Exact")), rule("app-b", path("/"))))
        assert [(await c.get(p)).service for p in ("/one", "/one?x=1")] == ["app-b2"] * 2
        assert [(await c.get(p)).service for p in ("/one/", "/One", "/one/two", "/")] == ["app-b"] * 4


async def test_path_prefix_by_segments(cluster):
    """ "PathPrefix": by elements split by "/"; `/abc`, `/abc/` and `/abc/def` match the prefix `/abc`, `/abcd` not."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", path("/abc")), rule("app-b", path("/"))))
        served = {p: (await c.get(p)).service for p in ("/abc", "/abc/", "/abc/def", "/abcd", "/")}
        assert served == {"/abc": "app-b2", "/abc/": "app-b2", "/abc/def": "app-b2", "/abcd": "app-b", "/": "app-b"}


async def test_path_regular_expression(cluster):
    """ "RegularExpression": implementation-specific; the whole path, before any prefix."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b", path("/")), rule("app-b2", path("/v[0-9]+/.*", "RegularExpression"))))
        assert [(await c.get(p)).service for p in ("/v12/x", "/v/x", "/x/v1/")] == ["app-b2", "app-b", "app-b"]


async def test_header_exact_whatever_the_case_of_its_name(cluster):
    """ "Name matching MUST be case-insensitive"; values are exact."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", header("Version", "two")), rule("app-b")))
        assert (await c.get(version="two")).service == "app-b2"
        assert (await c.get(VERSION="two")).service == "app-b2"
        assert (await c.get(version="Two")).service == "app-b"
        assert (await c.get(version="two2")).service == "app-b"
        assert (await c.get()).service == "app-b"


async def test_headers_of_one_match_are_anded(cluster):
    """ "Multiple match values are ANDed together"."""
    both = {"headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", both), rule("app-b")))
        assert (await c.get(a="1", b="2")).service == "app-b2"
        assert (await c.get(a="1")).service == "app-b"


async def test_of_equivalent_header_names_the_first_counts(cluster):
    """ "only the first entry with an equivalent name MUST be considered ... Subsequent ... MUST be ignored"."""
    twice = {"headers": [{"name": "foo", "value": "1"}, {"name": "Foo", "value": "2"}]}
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", twice), rule("app-b")))
        assert (await c.get(foo="1")).service == "app-b2"
        assert (await c.get(foo="2")).service == "app-b"


async def test_header_regular_expression(cluster):
    """HTTPHeaderMatch.type RegularExpression: implementation-specific; the whole value."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", header("x-user", "7[0-9]*", "RegularExpression")), rule("app-b")))
        assert [(await c.get(x_user=u)).service for u in ("7", "701", "17")] == ["app-b2", "app-b2", "app-b"]


async def test_query_parameter(cluster):
    """Extended, HTTPRouteQueryParamMatching: exact names and values, ANDed, the first of a repeated one."""
    both = {"queryParams": [{"name": "animal", "value": "whale"}, {"name": "sea", "value": "blue one"}]}
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", both), rule("app-b3", query("animal", "dog")), rule("app-b")))
        asked = ("/?animal=whale&sea=blue%20one", "/?animal=whale", "/?animal=dog&animal=whale", "/?Animal=dog", "/")
        served = [(await c.get(p)).service for p in asked]
        assert served == ["app-b2", "app-b", "app-b3", "app-b", "app-b"]


async def test_query_parameter_regular_expression(cluster):
    """HTTPQueryParamMatch.type RegularExpression: implementation-specific; the whole value."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", query("v", "[0-9]+", "RegularExpression")), rule("app-b")))
        assert [(await c.get(p)).service for p in ("/?v=12", "/?v=x", "/?v=")] == ["app-b2", "app-b", "app-b"]


async def test_method(cluster):
    """Extended, HTTPRouteMethodMatching."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", {"method": "POST"}), rule("app-b")))
        assert (await c.request("POST")).service == "app-b2"
        assert (await c.request("PUT")).service == "app-b"


async def test_matches_of_a_rule_are_ored_and_their_conditions_anded(cluster):
    """The description's own example: prefix `/foo` AND header `version: v2`, or prefix `/v2/foo`."""
    first = {**path("/foo"), **header("version", "v2")}
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", first, path("/v2/foo"))))
        assert (await c.get("/foo", version="v2")).service == "app-b2"
        assert (await c.get("/v2/foo")).service == "app-b2"
        assert (await c.get("/foo")).status == 404


async def test_no_rule_matches(cluster):
    """ "When no rules matching a request have been ... attached ... a HTTP 404 status code MUST be returned"."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b", path("/only"))))
        answer = await c.get("/other")
        assert (answer.status, answer.reason) == (404, "no-route")


async def test_precedence_of_matches(cluster):
    """Exact path; longest prefix; method; most headers; most query parameters: whatever the order of the rules."""
    x = path("/x")
    rules = [
        ("app-b", x),
        ("app-b2", {**x, **query("a", "1")}),
        ("app-b3", {**x, **header("a", "1")}),
        ("app-b4", {**x, "method": "GET"}),
        ("app-b5", path("/x/y")),
        ("app-b6", path("/x/y", "Exact")),
    ]
    steps = [
        ("/x/y", {"a": "1"}, "app-b6"), ("/x/y/z?a=1", {"a": "1"}, "app-b5"), ("/x?a=1", {"a": "1"}, "app-b4"),
    ]  # fmt: skip
    async with cluster(*(name for name, _ in rules)) as c:
        for order in (rules, rules[::-1]):
            c.tell(route(*(rule(name, match) for name, match in order)))
            for asked, fields, name in steps:
                assert (await c.get(asked, **fields)).service == name
            assert (await c.request("PUT", "/x?a=1", a="1")).service == "app-b3"
            assert (await c.request("PUT", "/x?a=1")).service == "app-b2"
            assert (await c.request("PUT", "/x")).service == "app-b"


async def test_precedence_among_routes(cluster):
    """ "The oldest Route based on creation timestamp", then "{namespace}/{name}"; then the first rule of a route."""
    async with cluster(*NAMES) as c:
        c.tell(
            route(rule("app-b"), name="a-new", created="2026-02-01T00:00:00Z"),
            route(rule("app-b2"), rule("app-b"), name="z-old", created="2026-01-01T00:00:00Z"),
            route(rule("app-b3"), name="b-new", created="2026-02-01T00:00:00Z"),
        )
        assert (await c.get()).service == "app-b2"
        c.delete("HTTPRoute", "z-old")
        assert (await c.get()).service == "app-b"
        c.delete("HTTPRoute", "a-new")
        assert (await c.get()).service == "app-b3"


async def test_routes_of_a_service_are_merged(cluster):
    """Rules of several routes are one table, ordered by what they match and not by their routes."""
    async with cluster(*NAMES) as c:
        c.tell(
            route(rule("app-b", path("/")), name="old", created="2026-01-01T00:00:00Z"),
            route(rule("app-b2", path("/cart")), name="new", created="2026-02-01T00:00:00Z"),
        )
        assert [(await c.get(p)).service for p in ("/", "/cart/1")] == ["app-b", "app-b2"]


async def test_named_rules(cluster):
    """GEP-995: a rule's name; ours also in telemetry and as a policy's sectionName."""
    async with cluster(*NAMES) as c:
        c.tell(route(rule("app-b2", path("/c"), name="cart"), rule("app-b")))
        assert (await c.get("/c/named")).service == "app-b2"
        assert (await c.get("/unnamed")).service == "app-b"
        assert await c.routes_taken("/c/named", "/unnamed") == ["default/app-b/cart", "default/app-b/1"]
