"""HTTPRouteFilter: header edits, redirects, rewrites, mirrors, CORS; of rules and of backends."""

import pytest
from conformance_objects import backend, conditions, grant, route, rule, share

pytestmark = pytest.mark.trio


def request_headers(**edits):
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": edits}


def response_headers(**edits):
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": edits}


def field(name, value):
    return {"name": name, "value": value}


def redirect(**given):
    return {"type": "RequestRedirect", "requestRedirect": given}


def rewrite(**given):
    return {"type": "URLRewrite", "urlRewrite": given}


def prefix(path):
    return {"path": {"type": "PathPrefix", "value": path}}


def replace_prefix(path):
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}


async def test_request_header_set_add_remove(cluster):
    """Core: "Set overwrites", "Add adds", "Remove the given header(s)"; names without regard to case."""
    edit = request_headers(set=[field("X-Set", "new")], add=[field("X-Add", "2")], remove=["X-Gone"])
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", filters=[edit])))
        answer = await c.get(x_set="old", x_add="1", x_gone="here", x_other="stays")
        assert answer.sent("x-set") == ["new"]
        assert answer.sent("x-add") == ["1", "2"]
        assert answer.sent("x-gone") == []
        assert answer.sent("x-other") == ["stays"]
        assert (await c.get()).sent("x-set") == ["new"]


async def test_of_equivalent_names_in_an_edit_the_first_counts(cluster):
    """HTTPHeader.name: "the first entry with an equivalent name MUST be considered", others "MUST be ignored"."""
    edit = request_headers(set=[field("x-a", "1"), field("X-A", "2")])
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", filters=[edit])))
        assert (await c.get()).sent("x-a") == ["1"]


async def test_response_header_set_add_remove(cluster):
    """Extended, HTTPRouteResponseHeaderModification."""
    edit = response_headers(set=[field("X-Set", "new")], add=[field("X-Add", "2")], remove=["X-Echo"])
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", filters=[edit])))
        answer = await c.get()
        assert (answer.headers["x-set"], answer.headers["x-add"]) == ("new", "2")
        assert "x-echo" not in answer.headers


async def test_filters_of_backends(cluster):
    """Extended, HTTPRouteBackendRequestHeaderModification and ...Response...: only for what goes there."""
    async with cluster("app-b", "app-b2") as c:
        first = [request_headers(set=[field("x-to", "one")]), response_headers(set=[field("x-by", "one")])]
        c.tell(route({
            "filters": [request_headers(set=[field("x-rule", "yes")])],
            "backendRefs": [backend("app-b", filters=first), backend("app-b2")],
        }))  # fmt: skip
        seen = {}
        while len(seen) < 2:
            answer = await c.get()
            seen[answer.service] = (answer.sent("x-rule"), answer.sent("x-to"), answer.headers.get("x-by"))
        assert seen == {"app-b": (["yes"], ["one"], "one"), "app-b2": (["yes"], [], None)}


async def test_the_same_backend_twice_with_other_filters(cluster):
    """HTTPBackendRef.filters: each reference has its own, also where two name the same Service."""
    async with cluster("app-b") as c:
        edits = [[request_headers(set=[field("x-way", way)])] for way in ("a", "b")]
        c.tell(route({"backendRefs": [backend("app-b", filters=filters) for filters in edits]}))
        seen = set()
        while len(seen) < 2:
            seen.update((await c.get()).sent("x-way"))
        assert seen == {"a", "b"}


REDIRECTS = [
    ({"hostname": "example.org"}, 302, "http://example.org/old/x?q=1"),
    ({"hostname": "example.org", "statusCode": 301}, 301, "http://example.org/old/x?q=1"),
    ({"statusCode": 303, "port": 8080}, 303, "http://app-b:8080/old/x?q=1"),
    ({"statusCode": 307, "scheme": "https"}, 307, "https://app-b/old/x?q=1"),
    ({"statusCode": 308, "scheme": "https", "port": 8443}, 308, "https://app-b:8443/old/x?q=1"),
    ({"scheme": "http", "port": 80}, 302, "http://app-b/old/x?q=1"),
    ({"scheme": "https", "port": 443}, 302, "https://app-b/old/x?q=1"),
    ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}, 302, "http://app-b/new?q=1"),
    ({"path": replace_prefix("/new")}, 302, "http://app-b/new/x?q=1"),
    ({"path": replace_prefix("/")}, 302, "http://app-b/x?q=1"),
]


@pytest.mark.parametrize(("given", "status", "location"), REDIRECTS)
async def test_redirect(cluster, given, status, location):
    """Core (hostname, 301, 302) and extended (scheme, port, path, 303, 307, 308). The port is left out where it is the
    scheme's own; without a scheme it is the listener's, in a mesh the Service's."""
    async with cluster("app-b") as c:
        c.tell(route({"matches": [prefix("/old")], "filters": [redirect(**given)]}))
        answer = await c.get("/old/x?q=1")
        assert (answer.status, answer.headers["location"], answer.reason) == (status, location, "redirect")
        assert not await c.received("app-b")


async def test_redirect_on_another_port_of_the_service(cluster):
    """ "If redirect scheme is empty, the redirect port MUST be the ... Listener port"."""
    async with cluster("app-b") as c:
        c.tell(route({"filters": [redirect(hostname="example.org")]}))
        assert (await c.get(port=8080)).headers["location"] == "http://example.org:8080/"
        assert (await c.get(port=80)).headers["location"] == "http://example.org/"


async def test_a_redirect_can_be_followed(cluster):
    """What a client does with it: the path that it is sent to is served."""
    async with cluster("app-b") as c:
        moved = {"matches": [prefix("/old")], "filters": [redirect(path=replace_prefix("/new"))]}
        c.tell(route(moved, rule("app-b", prefix("/new"))))
        answer = await c.get("/old/x")
        assert answer.headers["location"].startswith("http://app-b/")
        assert (await c.get(answer.headers["location"].removeprefix("http://app-b"))).path == "/new/x"


REWRITES = [
    ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/one"}}, "/prefix/two?a=1", "/one?a=1"),
    ({"path": replace_prefix("/one")}, "/prefix/two?a=1", "/one/two?a=1"),
    ({"path": replace_prefix("/")}, "/prefix/two", "/two"),
    ({"path": replace_prefix("")}, "/prefix", "/"),
    ({"path": replace_prefix("/one/")}, "/prefix/", "/one/"),
]


@pytest.mark.parametrize(("given", "asked", "path"), REWRITES)
async def test_rewrite_of_the_path(cluster, given, asked, path):
    """Extended, HTTPRoutePathRewrite."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", prefix("/prefix"), filters=[rewrite(**given)])))
        assert (await c.get(asked)).path == path


async def test_rewrite_of_the_host(cluster):
    """Extended, HTTPRouteHostRewrite: "the value to be used to replace the Host header value during forwarding"."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", filters=[rewrite(hostname="inner.example", path=replace_prefix("/x"))])))
        answer = await c.get("/y")
        assert (answer.sent("host"), answer.path) == (["inner.example"], "/x/y")


async def test_rewrite_of_one_backend(cluster):
    """Extended: a filter of a backendRef."""
    async with cluster("app-b") as c:
        edit = [rewrite(path=replace_prefix("/one"))]
        rule = {"matches": [prefix("/two")], "backendRefs": [backend("app-b", filters=edit)]}
        c.tell(route(rule))
        assert (await c.get("/two/x")).path == "/one/x"


def mirror(name, **more):
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name, "port": 80}, **more}}


async def test_mirror(cluster):
    """Extended, HTTPRouteRequestMirror: "sent to the specified destination, but responses ... are ignored"."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b", filters=[mirror("app-b2")])))
        await c.request("POST", "/m?x=1", b"body")
        (copy,) = await c.received("app-b2", 1)
        assert (copy.method, copy.path, copy.body) == ("POST", "/m?x=1", "body")
        assert len(await c.received("app-b")) == 1


async def test_several_mirrors(cluster):
    """Extended, HTTPRouteRequestMultipleMirrors: "can be used multiple times within the same rule"."""
    async with cluster("app-b", "app-b2", "app-b3") as c:
        c.tell(route(rule("app-b", filters=[mirror("app-b2"), mirror("app-b3")])))
        await c.get()
        # one each: what is a copy already is not copied again
        assert [len(await c.received(name, 1)) for name in ("app-b2", "app-b3")] == [1, 1]


@pytest.mark.parametrize(
    "part", [{"percent": 20}, {"fraction": {"numerator": 1, "denominator": 5}}, {"fraction": {"numerator": 20}}]
)
async def test_a_share_is_mirrored(cluster, part):
    """Extended, HTTPRouteRequestPercentageMirror: percent, or a fraction (of 100 unless said otherwise)."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b", filters=[mirror("app-b2", **part)])))
        before = await c.counter("mirror_copies_total")
        assert await share(c, 500) == {"app-b": 500}
        copies = int(await c.counter("mirror_copies_total") - before)
        assert 55 <= copies <= 145  # 5 standard deviations
        assert len(await c.received("app-b2", copies)) == copies


@pytest.mark.parametrize("part", [{"percent": 0}, {"fraction": {"numerator": 0}}])
async def test_nothing_is_mirrored(cluster, part):
    """HTTPRequestMirrorFilter.percent: 0 is a percentage like any other, and a fraction of 0, too."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b", filters=[mirror("app-b2", **part)])))
        before = await c.counter("mirror_copies_total")
        assert await share(c, 30) == {"app-b": 30}
        assert await c.counter("mirror_copies_total") == before


async def test_a_mirror_in_another_namespace_needs_a_grant(cluster):
    """HTTPRequestMirrorFilter.backendRef: "a ReferenceGrant object is required"; without it nothing is sent there."""
    async with cluster("app-b", "far/app-c") as c:
        there = mirror("app-c")
        there["requestMirror"]["backendRef"]["namespace"] = "far"
        c.tell(route(rule("app-b", filters=[there])))
        assert (await conditions(c))["ResolvedRefs"] == ("False", "RefNotPermitted")
        before = await c.counter("mirror_copies_total")
        assert (await c.get("/early")).service == "app-b"
        assert await c.counter("mirror_copies_total") == before
        c.tell(grant("far"))
        assert (await c.get("/late")).service == "app-b"
        assert [copy.path for copy in await c.received("far/app-c", 1)] == ["/late"]


async def test_mirror_sees_what_filters_before_it_did(cluster):
    """ "Wherever possible, implementations SHOULD implement filters in the order they are specified"."""
    edit = request_headers(set=[field("x-edit", "1")])
    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b", filters=[edit, mirror("app-b2")])))
        await c.get()
        (copy,) = await c.received("app-b2", 1)
        assert copy.header("x-edit") == ["1"]


CORS = {
    "allowOrigins": ["https://www.example.org", "https://*.shop.example"], "allowMethods": ["GET", "PUT"],
    "allowHeaders": ["x-token"], "exposeHeaders": ["x-echo"], "allowCredentials": True, "maxAge": 60,
}  # fmt: skip


async def test_cors_preflight(cluster):
    """Extended, HTTPRouteCORS: allowed origins are told; others get an answer without the fields."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", filters=[{"type": "CORS", "cors": CORS}])))
        asked = {"Origin": "https://a.b.shop.example", "Access_Control_Request_Method": "PUT",
                 "Access_Control_Request_Headers": "x-token"}  # fmt: skip
        answer = await c.request("OPTIONS", "/", **asked)
        assert answer.status == 204
        assert not await c.received("app-b")
        told = {name.removeprefix("access-control-"): value for name, value in answer.headers.items()}
        assert told["allow-origin"] == "https://a.b.shop.example"
        assert {"GET", "PUT"} <= set(told["allow-methods"].split(", "))
        assert (told["allow-headers"], told["allow-credentials"], told["max-age"]) == ("x-token", "true", "60")
        answer = await c.request("OPTIONS", "/", **{**asked, "Origin": "https://evil.example"})
        assert answer.status == 204
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_cors_preflight_of_a_rule_for_a_method(cluster):
    """HTTPCORSFilter with HTTPRouteMatch.method: the rule takes its method's preflights, and no other OPTIONS.

    The specification is silent (gateway-api issue 3857); so does Envoy Gateway.
    """
    own = {"matches": [{"path": {"type": "Exact", "value": "/own"}, "method": "OPTIONS"}]}
    async with cluster("app-b", "app-b3") as c:
        get = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}, "method": "GET"}]}
        mine = {"matches": [{"path": {"type": "Exact", "value": "/own"}, "method": "GET"}]}
        cors = [{"type": "CORS", "cors": CORS}]
        c.tell(route(rule("app-b", filters=cors, **get), rule("app-b", filters=cors, **mine), rule("app-b3", **own)))
        asked = {"Origin": "https://www.example.org", "Access_Control_Request_Method": "GET"}
        answer = await c.request("OPTIONS", "/", **asked)
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "https://www.example.org"
        # no preflight, and one of another method, are nobody's: as without the filter
        assert (await c.request("OPTIONS", "/")).status == 404
        other = await c.request("OPTIONS", "/", **{**asked, "Access_Control_Request_Method": "PUT"})
        assert other.status == 404
        assert not await c.received("app-b")
        # what somebody wrote for OPTIONS comes first
        assert (await c.request("OPTIONS", "/own", **asked)).service == "app-b3"


async def test_cors_of_a_simple_request(cluster):
    """HTTPCORSFilter.allowOrigins, .exposeHeaders: set where the origin is allowed, left out where it is not."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", filters=[{"type": "CORS", "cors": CORS}])))
        answer = await c.get(Origin="https://www.example.org")
        assert answer.service == "app-b"
        assert answer.headers["access-control-allow-origin"] == "https://www.example.org"
        assert answer.headers["access-control-expose-headers"] == "x-echo"
        assert "access-control-allow-origin" not in (await c.get(Origin="https://evil.example")).headers


async def test_cors_for_all_and_the_default_age(cluster):
    """ "When the MaxAge field is unspecified, the gateway sets ... Access-Control-Max-Age: 5"."""
    async with cluster("app-b") as c:
        cors = {"allowOrigins": ["*"], "allowMethods": ["*"], "allowCredentials": True}
        c.tell(route(rule("app-b", filters=[{"type": "CORS", "cors": cors}])))
        answer = await c.request("OPTIONS", "/", Origin="http://x.example", Access_Control_Request_Method="PATCH")
        # "must return a single origin ... instead of specifying the * wildcard", and so with methods
        assert answer.headers["access-control-allow-origin"] == "http://x.example"
        assert answer.headers["access-control-allow-methods"] == "PATCH"
        assert answer.headers["access-control-max-age"] == "5"
