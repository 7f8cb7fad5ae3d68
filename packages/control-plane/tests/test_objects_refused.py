"""Each field's wrong forms, of all kinds that say what becomes of traffic: refused whole, with the field's path and
what would be right, and nothing that is in force changes. (HTTPRoute's rules have a table of their own:
test_routes_refused.py. With it these are the objects of `make acceptance`'s `invalid-objects`.)
"""

import copy

import pytest

GATEWAY = "gateway.networking.k8s.io"
HTTP = {
    "apiVersion": f"{GATEWAY}/v1", "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "default"},
    "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "app-b", "port": 80}],
             "rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {
                 "scheme": "https", "hostname": "a.example", "port": 8443, "statusCode": 301,
                 "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}}}]}]},
}  # fmt: skip
GRPC = {
    "apiVersion": f"{GATEWAY}/v1", "kind": "GRPCRoute", "metadata": {"name": "rpc", "namespace": "default"},
    "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "app-g"}], "rules": [{
        "name": "one",
        "matches": [{"method": {"type": "Exact", "service": "foo.Bar", "method": "Get"},
                     "headers": [{"type": "Exact", "name": "x", "value": "1"}]}],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "1"}]}},
                    {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "app-b", "port": 80}}}],
        "backendRefs": [{"name": "app-c", "namespace": "far", "port": 80, "weight": 1}],
        "sessionPersistence": {"sessionName": "s"},
    }]},
}  # fmt: skip
GRANT = {
    "apiVersion": f"{GATEWAY}/v1beta1", "kind": "ReferenceGrant", "metadata": {"name": "grant", "namespace": "far"},
    "spec": {"from": [{"group": GATEWAY, "kind": "GRPCRoute", "namespace": "default"}],
             "to": [{"group": "", "kind": "Service", "name": "app-c"}]},
}  # fmt: skip
POLICY = {
    "apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": "limit", "namespace": "default"},
    "spec": {"targetRef": {"kind": "Service", "name": "app-g"}, "type": "timeout", "config": {"n": 7}},
}  # fmt: skip
GOOD = {obj["kind"]: obj for obj in (HTTP, GRPC, GRANT, POLICY)}

RULE = ("spec", "rules", 0)
MATCH, METHOD = (*RULE, "matches", 0), (*RULE, "matches", 0, "method")
REDIRECT = (*RULE, "filters", 0, "requestRedirect")
PARENT, BACKEND = ("spec", "parentRefs", 0), (*RULE, "backendRefs", 0)
FROM, TO = ("spec", "from"), ("spec", "to")
TARGET, CONFIG = ("spec", "targetRef"), ("spec", "config")

# kind, where, what is put there, words of the message beside the path
WRONG = [
    ("HTTPRoute", ("spce",), {}, "did you mean 'spec'?"), ("HTTPRoute", ("spec",), None, "missing"),
    ("HTTPRoute", ("spec",), [], "expected object"), ("HTTPRoute", ("spec", "rule"), [], "did you mean 'rules'?"),
    ("HTTPRoute", ("spec", "rules"), {}, "expected array"), ("HTTPRoute", ("spec", "rules"), [{}] * 17, "at most 16"),
    ("HTTPRoute", ("spec", "parentRefs"), {}, "expected array"),
    ("HTTPRoute", (*PARENT, "name"), "A b", "is no name"), ("HTTPRoute", (*PARENT, "port"), 0, ">= 1"),
    ("HTTPRoute", (*PARENT, "port"), "http", "int"), ("HTTPRoute", (*PARENT, "nam"), "x", "did you mean 'name'?"),
    ("HTTPRoute", ("spec", "hostnames"), "a.example", "expected array"),
    ("HTTPRoute", (*REDIRECT, "scheme"), "ftp", "invalid enum"), ("HTTPRoute", (*REDIRECT, "port"), 70000, "<= 65535"),
    ("HTTPRoute", (*REDIRECT, "statusCode"), 200, "invalid enum"),
    ("HTTPRoute", (*REDIRECT, "statusCode"), "301", "expected int"),
    ("HTTPRoute", (*REDIRECT, "hostname"), "a b", "is no name"),
    ("HTTPRoute", (*REDIRECT, "path", "replaceFullPath"), "x", 'begins with "/"'),
    ("HTTPRoute", (*REDIRECT, "path", "type"), "Full", "invalid enum"),
    ("HTTPRoute", (*REDIRECT, "prot"), 80, "did you mean 'port'?"),

    ("GRPCRoute", ("spc",), {}, "did you mean 'spec'?"), ("GRPCRoute", ("spec", "rules"), "x", "expected array"),
    ("GRPCRoute", METHOD, {}, "one or both of service and method"), ("GRPCRoute", METHOD, "Get", "expected object"),
    ("GRPCRoute", (*METHOD, "service"), "foo/Bar", "expected a name such as foo.v1.Bar"),
    ("GRPCRoute", (*METHOD, "service"), 7, "expected str"),
    ("GRPCRoute", (*METHOD, "method"), "a b", "expected a name"),
    ("GRPCRoute", (*METHOD, "type"), "Prefix", "invalid enum"), ("GRPCRoute", (*METHOD, "servce"), "x", "did you mean"),
    ("GRPCRoute", METHOD, {"type": "RegularExpression", "service": "("}, "no regular expression"),
    ("GRPCRoute", (*MATCH, "path"), {"value": "/"}, "known fields: method, headers"),
    ("GRPCRoute", (*MATCH, "headers"), {}, "expected array"),
    ("GRPCRoute", (*MATCH, "headers", 0, "name"), "a b", "letters, digits"),
    ("GRPCRoute", (*MATCH, "headers", 0, "value"), "", "1 to 4096"),
    ("GRPCRoute", (*RULE, "matches"), [{}] * 65, "at most 64"),
    ("GRPCRoute", (*RULE, "filters", 0), {"type": "URLRewrite", "urlRewrite": {}}, "expected one of RequestHeader"),
    ("GRPCRoute", (*RULE, "filters", 0, "requestHeaderModifier"), {}, "nothing to edit"),
    ("GRPCRoute", (*RULE, "filters", 1, "requestMirror", "percent"), 101, "<= 100"),
    ("GRPCRoute", (*RULE, "timeouts"), {"request": "1s"}, "use a MeshPolicy"),
    ("GRPCRoute", (*RULE, "retry"), {"attempts": 1}, "use a MeshPolicy"),
    ("GRPCRoute", (*RULE, "name"), "A", "is no name"), ("GRPCRoute", (*BACKEND, "port"), None, "missing"),
    ("GRPCRoute", (*BACKEND, "weight"), -1, ">= 0"), ("GRPCRoute", (*BACKEND, "name"), None, "name"),
    ("GRPCRoute", (*RULE, "sessionPersistence", "idleTimeout"), "soon", "duration"),

    ("ReferenceGrant", ("spce",), {}, "did you mean 'spec'?"), ("ReferenceGrant", ("spec",), None, "missing"),
    ("ReferenceGrant", ("spec",), "all", "expected object"),
    ("ReferenceGrant", ("spec", "form"), [], "did you mean 'from'?"), ("ReferenceGrant", FROM, {}, "expected array"),
    ("ReferenceGrant", FROM, None, "missing"), ("ReferenceGrant", TO, [], "missing"),
    ("ReferenceGrant", FROM, [{}] * 17, "at most 16"), ("ReferenceGrant", TO, [{}] * 17, "at most 16"),
    ("ReferenceGrant", (*FROM, 0, "namespace"), None, "namespace"),
    ("ReferenceGrant", (*FROM, 0, "namespace"), "*", "is no name"),
    ("ReferenceGrant", (*FROM, 0, "kind"), 7, "expected str"), ("ReferenceGrant", (*FROM, 0), "all", "expected object"),
    ("ReferenceGrant", (*FROM, 0, "name"), "x", "unknown field 'name'"),
    ("ReferenceGrant", (*TO, 0, "kind"), None, "kind"), ("ReferenceGrant", (*TO, 0, "name"), "A b", "is no name"),
    ("ReferenceGrant", (*TO, 0, "nmae"), "x", "did you mean 'name'?"),
    ("ReferenceGrant", TO, "app-c", "expected array"),

    ("MeshPolicy", ("spce",), {}, "did you mean 'spec'?"),
    ("MeshPolicy", ("spec",), None, "targetRef, type and config"),
    ("MeshPolicy", ("spec", "confg"), {}, "did you mean 'config'?"), ("MeshPolicy", TARGET, None, "missing"),
    ("MeshPolicy", TARGET, "app-g", "{kind: Service, name: app-b}"),
    ("MeshPolicy", (*TARGET, "kind"), "Deployment", "expected one of Service"),
    ("MeshPolicy", (*TARGET, "name"), "", "missing"), ("MeshPolicy", (*TARGET, "name"), "A b", "is no name"),
    ("MeshPolicy", (*TARGET, "nam"), "x", "did you mean 'name'?"),
    ("MeshPolicy", (*TARGET, "namespace"), "far", "move the policy there"),
    ("MeshPolicy", (*TARGET, "sectionName"), "one", "only a route has sections"),
    ("MeshPolicy", TARGET, {"kind": "Mesh"}, "belongs in the namespace 'tulle-system'"),
    ("MeshPolicy", TARGET, {"kind": "Namespace", "name": "far"}, "belongs in it or in 'tulle-system'"),
    ("MeshPolicy", ("spec", "type"), None, "missing; known: "), ("MeshPolicy", ("spec", "type"), "timeot", "'timeout'"),
    ("MeshPolicy", ("spec", "type"), 7, "no policy plugin 7"), ("MeshPolicy", CONFIG, [], "expected a mapping"),
    ("MeshPolicy", (*CONFIG, "n"), "1", "expected int"), ("MeshPolicy", (*CONFIG, "m"), 1, "known fields: n"),
    ("MeshPolicy", ("apiVersion",), "tulle.dev/v1", "expected 'tulle.dev/v1alpha1'"),
    ("MeshPolicy", ("spec",), {**POLICY["spec"], "type": "balancer", "config": {}}, "which balancer?"),
    ("MeshPolicy", ("spec",), {**POLICY["spec"], "type": "balancer", "config": {"name": "radnom"}}, "'random'"),
]  # fmt: skip


def spoilt(kind, where, what):
    """The good object with this in that place; None takes the field out."""
    obj = copy.deepcopy(GOOD[kind])
    at = obj
    for step in where[:-1]:
        at = at[step]
    if what is None:
        del at[where[-1]]
    else:
        at[where[-1]] = what
    return obj


@pytest.fixture
def running(world, make):
    return world(
        make.service("app-b", "10.96.0.7"), make.service("app-g", "10.96.0.8"),
        make.service("app-c", "10.97.0.1", ns="far"), *GOOD.values(),
    )  # fmt: skip


def in_force(w):
    return [w.destination(f"10.96.0.{number}:80") for number in (7, 8)]


def test_what_is_spoilt_below_is_good_and_says_what_becomes_of_traffic(running):
    assert not running.rejected
    web, rpc = in_force(running)
    assert web.routes[0].filters
    assert [backend.resolved for backend in rpc.backends if backend.name.startswith("far/")] == [True]  # the grant
    assert [policy.source for policy in rpc.policies] == ["MeshPolicy default/limit"]


@pytest.mark.parametrize(("kind", "where", "what", "words"), WRONG)
def test_a_wrong_object_is_refused_and_nothing_in_force_changes(running, kind, where, what, words):
    before = in_force(running)
    obj = spoilt(kind, where, what)
    running.tell(obj)
    meta = obj["metadata"]
    problem = running.rejected[f"{kind} {meta['namespace']}/{meta['name']}"]
    assert problem.startswith(str(where[0])), problem
    for step in where[1:-1]:  # the last may be what is missing, unknown, or the whole that is wrong
        assert str(step) in problem
    assert words in problem
    assert in_force(running) == before
