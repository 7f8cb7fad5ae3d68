"""Each field's wrong forms: refused whole, with the field's path, what was given, and what would be right."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RULE = {
    "name": "one",
    "matches": [{
        "path": {"type": "PathPrefix", "value": "/a"}, "method": "GET",
        "headers": [{"type": "Exact", "name": "x", "value": "1"}],
        "queryParams": [{"type": "Exact", "name": "q", "value": "1"}],
    }],
    "filters": [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {
            "set": [{"name": "a", "value": "1"}], "add": [{"name": "b", "value": "1"}], "remove": ["c"]}},
        {"type": "URLRewrite", "urlRewrite": {
            "hostname": "a.example", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}}},
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "app-b", "port": 80}, "percent": 5}},
        {"type": "CORS", "cors": {"allowOrigins": ["https://a.example"], "allowMethods": ["GET"],
                                  "allowHeaders": ["x"], "exposeHeaders": ["y"], "maxAge": 5}},
    ],
    "backendRefs": [{"name": "app-b", "port": 80, "weight": 1}],
    "timeouts": {"request": "2s", "backendRequest": "1s"},
    "retry": {"codes": [503], "attempts": 2, "backoff": "10ms"},
    "sessionPersistence": {"sessionName": "s", "type": "Cookie", "absoluteTimeout": "1h",
                           "cookieConfig": {"lifetimeType": "Permanent"}},
}  # fmt: skip

M, F = ("matches", 0), ("filters",)
PATH, EDIT, REWRITE, MIRROR, CORS = (
    (*M, "path"), (*F, 0, "requestHeaderModifier"), (*F, 1, "urlRewrite"), (*F, 2, "requestMirror"), (*F, 3, "cors"),
)  # fmt: skip

# where, what, and words of the message besides the path
WRONG = [
    (("name",), "A B", "is no name"), (("name",), 7, "expected str"), (("nmae",), "x", "did you mean 'name'?"),
    (PATH, {"type": "Prefix", "value": "/"}, "type"), ((*PATH, "type"), "exact", "invalid enum"),
    ((*PATH, "value"), "a", 'begins with "/"'), ((*PATH, "value"), "/a//b", "without '//'"),
    ((*PATH, "value"), "/a/../b", "without '/../'"), ((*PATH, "value"), "/a/./b", "without '/./'"),
    ((*PATH, "value"), "/a%2fb", "without '%2f'"), ((*PATH, "value"), "/a#b", "without '#'"),
    ((*PATH, "value"), "/a/..", "without '/..'"), ((*PATH, "value"), "/a b", "path's characters"),
    ((*PATH, "value"), "/é", "path's characters"), ((*PATH, "value"), "/" + "a" * 1024, "at most 1024"),
    ((*PATH, "value"), 7, "expected str"), (PATH, [], "expected object"), ((*PATH, "vaule"), "/", "did you mean"),
    (PATH, {"type": "RegularExpression", "value": "("}, "without"),
    (PATH, {"type": "RegularExpression", "value": "(?=a)"}, "linear"),
    ((*M, "method"), "get", "expected one of GET"), ((*M, "method"), "FETCH", "expected one of GET"),
    ((*M, "headers"), {}, "expected array"), ((*M, "headers", 0, "name"), "a b", "letters, digits"),
    ((*M, "headers", 0, "name"), "", "letters, digits"), ((*M, "headers", 0, "value"), "", "1 to 4096"),
    ((*M, "headers", 0, "value"), "a\nb", "visible ASCII"), ((*M, "headers", 0, "value"), "é", "visible ASCII"),
    ((*M, "headers", 0), {"name": "x"}, "value"), ((*M, "headers", 0, "type"), "Regex", "type"),
    ((*M, "headers", 0), {"name": "x", "value": "[", "type": "RegularExpression"}, "without"),
    ((*M, "headers"), [{"name": f"x{n}", "value": "1"} for n in range(17)], "at most 16"),
    ((*M, "queryParams", 0, "name"), "a=b", "letters, digits"), ((*M, "queryParams", 0, "value"), "", "1 to 1024"),
    ((*M, "queryParams", 0, "value"), "a" * 1025, "1 to 1024"), (M, {"paht": {}}, "did you mean 'path'?"),
    (("matches",), {}, "expected array"), (("matches",), [{}] * 65, "at most 64"),
    (("filters",), {}, "expected array"), (("filters",), [{"type": "CORS", "cors": {}}] * 17, "at most 16"),
    ((*F, 0, "type"), "Fnord", "expected one of RequestHeaderModifier"),
    ((*F, 0, "type"), "ExternalAuth", "expected one of"), ((*F, 0), {"type": "URLRewrite"}, "missing"),
    ((*F, 0, "cors"), {}, "belongs to another type"), ((*F, 0), {"type": "CORS", "cors": {}}, "second time"),
    ((*F, 3), {"type": "RequestRedirect", "requestRedirect": {}}, "exclude each other"),
    (EDIT, {}, "nothing to edit"), ((*EDIT, "set", 0, "name"), "content-length", "belongs to the connection"),
    ((*EDIT, "set", 0, "name"), "Host", "URLRewrite"), ((*EDIT, "set", 0, "name"), "a b", "letters, digits"),
    ((*EDIT, "set", 0, "value"), "a\r\nb", "visible ASCII"), ((*EDIT, "add", 0, "value"), "", "visible ASCII"),
    ((*EDIT, "add", 0), {"name": "x"}, "value"), ((*EDIT, "remove"), ["a b"], "letters, digits"),
    ((*EDIT, "remove"), ["Transfer-Encoding"], "belongs to the connection"),
    ((*EDIT, "remove"), [f"x{n}" for n in range(17)], "at most 16"), ((*EDIT, "sett"), [], "did you mean 'set'?"),
    ((*REWRITE, "hostname"), "A.example", "is no name"), ((*REWRITE, "hostname"), "a:80", "is no name"),
    ((*REWRITE, "path"), {"type": "Fnord"}, "type"), ((*REWRITE, "path"), {"type": "ReplaceFullPath"}, "missing"),
    ((*REWRITE, "path", "replaceFullPath"), "/x", "belongs to another type"),
    ((*REWRITE, "path", "replacePrefixMatch"), "x", 'begins with "/"'),
    ((*REWRITE, "path", "replacePrefixMatch"), "/x?y", "path's characters"),
    (PATH, {"type": "Exact", "value": "/a"}, "exactly one match"),
    ((*MIRROR, "percent"), 101, "<= 100"), ((*MIRROR, "percent"), -1, ">= 0"), ((*MIRROR, "percent"), 0.5, "int"),
    ((*MIRROR, "fraction"), {"numerator": 1}, "not both"),
    (MIRROR, {"backendRef": {"name": "b", "port": 80}, "fraction": {"numerator": 3, "denominator": 2}}, "at most the"),
    (MIRROR, {"backendRef": {"name": "b", "port": 80}, "fraction": {"numerator": 3, "denominator": 0}}, ">= 1"),
    (MIRROR, {"backendRef": {"name": "b"}}, "port: missing"), (MIRROR, {}, "backendRef"),
    ((*CORS, "allowOrigins"), ["shop.example"], "expected an origin"),
    ((*CORS, "allowOrigins"), ["ftp://shop.example"], "expected an origin"),
    ((*CORS, "allowOrigins"), ["*", "https://a.example"], "stands alone"),
    ((*CORS, "allowMethods"), ["BREW"], "expected one of GET"), ((*CORS, "allowMethods"), ["*", "GET"], "stands alone"),
    ((*CORS, "allowHeaders"), ["a b"], "name of a header field"), ((*CORS, "exposeHeaders"), [""], "name of a header"),
    ((*CORS, "maxAge"), 0, ">= 1"), ((*CORS, "maxAge"), "5s", "int"), ((*CORS, "allowCredentials"), "yes", "bool"),
    (("backendRefs", 0, "weight"), 1_000_001, "<= 1000000"), (("backendRefs", 0, "weight"), 1.5, "int"),
    (("backendRefs", 0, "port"), 65536, "<= 65535"), (("backendRefs", 0, "name"), "", "is no name"),
    (("backendRefs", 0, "namespace"), "A", "is no name"),
    (("backendRefs",), [{"name": "b", "port": 1}] * 17, "at most 16"),
    (("backendRefs", 0), {"group": "tulle.dev", "kind": "Subset", "name": "app-b", "port": 80}, "SERVICE.VERSION"),
    (("backendRefs", 0, "filters"), [{"type": "Fnord"}], "expected one of"),
    (("timeouts", "request"), "1.5s", "expected a duration"), (("timeouts", "request"), 2, "duration"),
    (("timeouts", "backendRequest"), "3s", "at most request"), (("timeouts", "reqeust"), "1s", "did you mean"),
    (("retry", "codes"), [200], ">= 400"), (("retry", "codes"), [600], "<= 599"), (("retry", "codes"), 503, "array"),
    (("retry", "attempts"), -1, ">= 0"), (("retry", "attempts"), 11, "<= 10"),
    (("retry", "backoff"), "fast", "duration"),
    (("sessionPersistence", "type"), "Header", "only for type Cookie"),
    (("sessionPersistence", "absoluteTimeout"), None, "needs an end"),
    (("sessionPersistence", "idleTimeout"), "soon", "duration"),
    (("sessionPersistence", "sessionName"), "a b", "letters, digits"),
    (("sessionPersistence", "cookieConfig", "lifetimeType"), "Forever", "lifetimeType"),
]  # fmt: skip


def put(rule, where, what):
    rule = copy.deepcopy(rule)
    at = rule
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = what
    return rule


def test_the_rule_that_is_spoilt_below_is_good(world, make):
    w = world(make.service("app-b", "10.96.0.7"), make.route(rules=[RULE]))
    assert not w.rejected
    assert w.destination().routes[0].name == "default/app-b/one"


def test_there_are_a_hundred() -> None:
    assert len(WRONG) >= 100


@pytest.mark.parametrize(("where", "what", "words"), WRONG)
def test_a_wrong_field_is_refused_and_nothing_in_force_changes(world, make, where, what, words):
    w = world(make.service("app-b", "10.96.0.7"), make.route(rules=[RULE]))
    before = w.destination()
    w.tell(make.route(rules=[put(RULE, where, what)]))
    problem = w.rejected["HTTPRoute default/app-b"]
    assert problem.startswith("spec.rules[0]"), problem
    assert words in problem
    assert w.destination() == before


@pytest.mark.parametrize(
    ("annotation", "text", "words"),
    [
        ("from-label", "a=b", "did you mean 'tulle.dev/from-labels'?"), ("from-labels", "team", "name=value"),
        ("from-labels", "", "empty"), ("from-namespaces", "A", "is no name"), ("from-labels", "a=b c", "name=value"),
        ("from-service-accounts", "a/b/c", "is no name"),
    ],
)  # fmt: skip
def test_annotations(world, make, annotation, text, words):
    route = make.route(rules=[RULE])
    route["metadata"]["annotations"] = {f"tulle.dev/{annotation}": text}
    w = world(make.service("app-b", "10.96.0.7"), route)
    assert f"metadata.annotations[tulle.dev/{annotation}]" in w.rejected["HTTPRoute default/app-b"]
    assert words in w.rejected["HTTPRoute default/app-b"]


def test_names_of_rules_are_unique_and_a_redirect_has_no_backends(world, make):
    filters = [{"type": "RequestRedirect", "requestRedirect": {}}]
    redirect = {"filters": filters, "backendRefs": [make.backend("app-b:80")]}
    w = world(make.route(rules=[{"name": "a"}, {"name": "a"}, redirect]))
    problem = w.rejected["HTTPRoute default/app-b"]
    assert "spec.rules[0].name: 'a' is the name of more than one rule" in problem
    assert "spec.rules[2]: a RequestRedirect filter answers itself; it excludes backendRefs" in problem


def test_a_parent_is_named_once(world, make):
    route = make.route(rules=[{}])
    route["spec"]["parentRefs"] *= 2
    w = world(route)
    assert "Service default/app-b is there twice" in w.rejected["HTTPRoute default/app-b"]
    route["spec"]["parentRefs"] = [{**route["spec"]["parentRefs"][0], "port": port} for port in (80, 81)]
    w.tell(route)
    assert not w.rejected


GRPC = [
    ({"matches": [{"method": {}}]}, "matches[0].method: one or both of service and method"),
    ({"matches": [{"method": {"service": "a/b"}}]}, "matches[0].method.service: expected a name"),
    ({"matches": [{"method": {"service": "(", "type": "RegularExpression"}}]}, "matches[0].method.service: no regular"),
    ({"matches": [{"path": {"value": "/"}}]}, "matches[0]: unknown field 'path'"),
    ({"filters": [{"type": "URLRewrite", "urlRewrite": {}}]}, "filters[0].type: expected one of RequestHeader"),
    ({"timeouts": {"request": "1s"}}, "timeouts: a GRPCRoute has no such field"),
]


@pytest.mark.parametrize(("rule", "words"), GRPC)
def test_wrong_fields_of_a_grpc_route(world, make, rule, words):
    route = make.route(rules=[rule])
    route["kind"] = "GRPCRoute"
    assert f"spec.rules[0].{words}" in world(route).rejected["GRPCRoute default/app-b"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["*", "/", "1s"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value, way=()):
    """Where there is something in a rule: the ways to it."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inner:
        yield from places(each, (*way, step))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(places(RULE), key=str)), JSON)
def test_whatever_a_field_of_a_rule_holds_it_is_read_or_refused(world, make, where, what):
    w = world(make.service("app-b", "10.96.0.7"), make.route(rules=[put(RULE, where, what)]))
    # read: then it can be compiled and sent; refused: with its path
    assert w.destination().routes or w.rejected["HTTPRoute default/app-b"].startswith("spec.rules[0]")
