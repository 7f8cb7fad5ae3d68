"""`tulle routes` and `tulle diff`: the compiled table, and what would change. From discovery.proto's JSON."""

import json

import pytest
from tulle_cli import compiled


def test_the_compiled_routes_of_a_service(api, tulle, golden):
    done = tulle("routes", "svc/app-b", "-n", "demo", "--control-plane", api.target)
    assert done.exit_code == 0
    golden("routes.txt", done.output)
    assert api.asked == [("/api/v1/routes", {"service": "app-b", "namespace": "demo"})]


def test_one_port_as_another_namespace_sees_it(api, tulle):
    done = tulle("routes", "app-b", "-n", "demo", "--port", "81", "--client", "shop", "--control-plane", api.target)
    assert "10.96.0.7:81" in done.stdout
    assert "10.96.0.7:80" not in done.stdout
    assert "everything" in done.stdout
    query = {"service": "app-b", "namespace": "demo", "client": "shop", "port": "81"}
    assert api.asked == [("/api/v1/routes", query)]


def test_routes_as_json_is_the_answer(api, tulle):
    done = tulle("routes", "app-b", "-n", "demo", "-o", "json", "--control-plane", api.target)
    assert json.loads(done.output) == api.answers["/api/v1/routes"]


@pytest.mark.parametrize("words", [["nobody"], ["app-b", "-n", "demo", "--port", "82"]])
def test_a_service_or_port_that_is_not_there(api, tulle, words):
    done = tulle("routes", *words, "--control-plane", api.target)
    assert done.exit_code == 1
    assert f"there are no routes of a Service {words[0]} in namespace" in done.stderr
    assert "no Service with a cluster IP is known" in done.stderr
    api.answers["/api/v1/routes"] = (503, {"error": "the catalog has not synced yet"})
    assert "has not synced yet" in tulle("routes", "nobody", "--control-plane", api.target).stderr
    assert tulle("routes", "deploy/app-b").exit_code == 2


# --- diff -------------------------------------------------------------------------------------------------

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec: {}
---
kind: List
items: [{kind: MeshPolicy, metadata: {name: slow, namespace: other}}, nonsense]
"""


def answer(**changes):
    return {"objects": [], "destinations": [], **changes}


def row(kind, name, change, problem="", conditions=()):
    return {"kind": kind, "namespace": "demo", "name": name, "change": change, "problem": problem,
            "conditions": list(conditions)}


def destination(before, after, **changes):
    return {"client": "demo", "destination": "10.96.0.7:80", "service": "app-b.demo.svc.cluster.local:80",
            "proxies": ["demo/app-a-1"], "before": before, "after": after, **changes}


def test_what_would_change_at_which_proxies(api, tulle, golden, plain, shop):
    after = shop()
    after["routes"][1]["backends"][0]["weight"] = 40
    after["routes"][2]["filters"] = [{"rewrite": {"hostname": "new"}}]
    after["matches"].pop(0)
    after["policies"][0]["config"] = '{"request":"1s"}'
    inbound = {"ports": [{"port": 8080, "protocol": "PROTOCOL_HTTP1"}]}
    limited = {"ports": [{**inbound["ports"][0], "policies": [{"type": "rate-limit", "source": "MeshPolicy demo/l"}]}]}
    no_backend = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no Service x"}
    api.answers["/api/v1/rehearse"] = answer(
        objects=[row("HTTPRoute", "shop", "changed", conditions=[no_backend]), row("Service", "s", "ignored", "only")],
        destinations=[
            destination(shop(), after),
            destination(plain(), shop(), client="other", proxies=[]),
            destination(inbound, limited, destination="inbound", service="",
                        proxies=[f"demo/app-b-{n}" for n in range(6)]),
            destination(plain(), {**plain(), "backends": plain()["backends"] * 2}),
        ],
    )  # fmt: skip
    done = tulle("diff", "-f", "-", "-n", "demo", "--control-plane", api.target, stdin=ROUTE)
    assert done.exit_code == 0
    golden("diff.txt", done.output)
    assert api.given == [{"objects": [
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
         "metadata": {"name": "shop", "namespace": "demo"}, "spec": {}},
        {"kind": "MeshPolicy", "metadata": {"name": "slow", "namespace": "other"}},
        "nonsense",
    ]}]  # fmt: skip


def test_nothing_new(api, tulle):
    api.answers["/api/v1/rehearse"] = answer(objects=[row("HTTPRoute", "shop", "unchanged")])
    done = tulle("diff", "-f", "-", "--control-plane", api.target, stdin=ROUTE)
    assert done.output == "HTTPRoute demo/shop: unchanged\nNo proxy would be told anything new.\n"


def test_what_would_be_refused_exits_with_1(api, tulle):
    api.answers["/api/v1/rehearse"] = answer(objects=[row("HTTPRoute", "shop", "refused", "spec.rules: expected")])
    for words in ([], ["-o", "json"]):
        done = tulle("diff", "-f", "-", *words, "--control-plane", api.target, stdin=ROUTE)
        assert done.exit_code == 1
        assert "spec.rules: expected" in done.output


def test_a_file_that_cannot_be_read(tulle):
    assert "/none.yaml cannot be read" in tulle("diff", "-f", "/none.yaml").stderr
    assert "stdin is not YAML" in tulle("diff", "-f", "-", stdin="a: [").stderr
    assert tulle("diff").exit_code == 2


# --- words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({}, "everything"),
        ({"method": "GET"}, "method is GET"),
        ({"path": {"type": "MATCH_TYPE_REGEX", "value": "/a.*"}}, "path matches /a.*"),
        ({"query": [{"name": "q", "type": "MATCH_TYPE_EXACT", "value": "1"}]}, "query q is 1"),
        ({"source": {"service_accounts": ["a/b", "c/d"]}}, "client runs as a/b or c/d"),
    ],
)
def test_matches_in_words(match, words):
    assert compiled.match_words(match) == words


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"redirect": {"status": 302, "hostname": "h", "port": 8443}}, "redirect 302 hostname h port 8443"),
        ({"rewrite": {"path": {"full": "/new"}}}, "rewrite path /new"),
        ({"rewrite": {"path": {"replacement": "/new", "prefix": "/old"}}}, "rewrite prefix /new"),
        ({"policy": {"type": "cors"}}, "cors"),
    ],
)
def test_filters_in_words(one, words):
    assert compiled.filter_words(one) == words


def test_a_route_that_sends_nowhere_says_so():
    assert compiled.weights({}) == [(compiled.NOBODY, "", 1.0)]
    assert compiled.weights({"backends": [{"backend": "a"}]}) == [("a", "0", 0.0), (compiled.NOBODY, "", 1.0)]


def test_session_and_backend_filters_are_shown():
    route = {"session": {"name": "s", "header": True}, "backends": [{"backend": "b", "filters": [{"rewrite": {}}]}]}
    assert compiled.filters(route) == "rewrite (to b), session by header s"


def test_several_routes_without_matches_are_as_today_the_first_takes_all(shop):
    config = {**shop(), "matches": []}
    assert [match for match, _ in compiled.matches(config)] == ["everything", "nothing more", "nothing more"]


def test_a_thousand_rules_are_compared_in_no_time(shop):
    config = shop()
    many = {**config, "matches": [{"path": {"type": "MATCH_TYPE_EXACT", "value": f"/{n}"}} for n in range(2000)]}
    fewer = {**many, "matches": [*many["matches"][:1000], *many["matches"][1001:]]}
    assert {line[:2] for line in compiled.differences(many, fewer)} == {"- "}
