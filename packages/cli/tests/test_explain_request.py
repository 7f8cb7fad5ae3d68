"""`tulle explain CLIENT METHOD URL`: the question, which match decides, policies and endpoints; what has no route."""

import json

import pytest
from tulle_cli import ask
from tulle_cli.errors import CliError


@pytest.fixture
def mesh(api, shop):
    """app-a-1 calls app-b, which has routes; app-b-7 is one of its pods, with a policy of its own."""
    table, nearer = api.answers["/api/v1/routes"]["tables"][0], dict(shop()["policies"][0])
    # without matches, as for a Service with one rule
    config = {**shop(), "matches": [], "routes": [shop()["routes"][1]]}
    config["routes"][0]["policies"] = [{**nearer, "source": "MeshPolicy demo/quick", "config": '{"request":"1s"}'}]
    for one in config["backends"]:
        for endpoint in one.get("endpoints", []):
            endpoint["namespace"] = "demo"
    table["config"] = config
    proxies = api.answers["/api/v1/proxies"]["proxies"]
    served = {**proxies[1], "pod": "app-b-7", "workload": "deployment/app-b"}
    proxies.append(served)
    limit = {"type": "rate-limit", "source": "MeshPolicy demo/limit", "config": '{"requests":5,"per":"1s"}'}
    inbound = {"destination": "inbound", "state": "SYNCED", "config": {"ports": [{"port": 8080, "policies": [limit]}]}}
    api.answers["/api/v1/proxies/demo/app-b-7"] = {**served, "destinations": [inbound]}
    return api


def test_what_would_become_of_a_request(mesh, tulle, golden):
    done = tulle("explain", "deploy/app-a", "GET", "http://app-b/cart?x=1", "-H", "x-user: 7", "-n", "demo",
                 "--control-plane", mesh.target)  # fmt: skip
    assert done.exit_code == 0, done.output
    golden("explain-request.txt", done.output)
    assert ("/api/v1/routes", {"service": "app-b", "namespace": "demo", "client": "demo"}) in mesh.asked


@pytest.mark.parametrize("client", ["deploy/app-a", "app-a-1", "pod/app-a-1", "app-a", "demo/app-a-1"])
@pytest.mark.parametrize("host", ["app-b", "app-b.demo.svc.cluster.local:80", "10.96.0.7"])
def test_clients_and_hosts_as_people_write_them(mesh, tulle, client, host):
    done = tulle("explain", client, f"http://{host}/", "-n", "demo", "-o", "json", "--control-plane", mesh.target)
    told = json.loads(done.output)
    assert (told["client"]["pod"], told["service"], told["state"]) == ("app-a-1", "demo/app-b:80", "SYNCED")
    assert told["request"] == {"method": "GET", "host": host.split(":")[0], "port": 80, "path": "/"}
    assert told["route"] == "demo/shop/1"
    (timeout,) = told["policies"]
    assert (timeout["source"], timeout["instead"]) == ("MeshPolicy demo/quick", "MeshPolicy demo/slow")
    assert [(one["backend"], one["weight"], len(one["endpoints"])) for one in told["backends"]] == [
        ("demo/app-b:80", 90, 3), ("demo/app-b2:80", 8, 1), ("demo/x:80", 2, 0),
    ]  # fmt: skip
    assert {one["source"] for one in told["server_policies"]} == {"MeshPolicy demo/limit"}


@pytest.mark.parametrize(("state", "words"), [("REJECTED", "does NOT run this"), ("STALE", "does NOT run this")])
def test_a_proxy_that_runs_something_else_is_said_so(mesh, tulle, state, words):
    for one in mesh.answers["/api/v1/proxies/demo/app-a-1"]["destinations"]:
        one["state"] = state
    assert words in tulle("explain", "app-a-1", "app-b", "-n", "demo", "--control-plane", mesh.target).output
    mesh.answers["/api/v1/proxies/demo/app-a-1"]["destinations"] = []
    told = tulle("explain", "app-a-1", "app-b", "-n", "demo", "--control-plane", mesh.target).output
    assert "has not asked for it yet" in told


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "there is no Service com/example"),
        ("http://www.example.com/", "www.example.com is no Service's name"),
        ("http://192.0.2.9/", "no address that app-a-1 has been told of"),
        ("http://app-b:99/", "Service demo/app-b has no port 99; its ports: 80, 81"),
    ],
)
def test_what_no_route_holds_for_is_passed_through(mesh, tulle, url, words):
    done = tulle("explain", "app-a-1", url, "-n", "demo", "--control-plane", mesh.target)
    assert done.exit_code == 0
    assert words in done.output
    assert "passed through as it is" in done.output
    done = tulle("explain", "app-a-1", url, "-n", "demo", "-o", "json", "--control-plane", mesh.target)
    assert json.loads(done.output)["service"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["deploy/nobody", "http://app-b/"], 1, "no connected proxy of deployment nobody"),
        (["nobody", "http://app-b/"], 1, "no connected proxy of a pod 'nobody'"),
        (["app-a-1", "https://app-b/"], 1, "not seen by a proxy"),
        (["app-a-1", "ftp://app-b/"], 1, "expected http://HOST"),
        (["app-a-1", "http://app-b:x/"], 1, "is no URL"),
        (["app-a-1", "GET", "http://app-b/", "-H", "x"], 1, "the colon is missing"),
        (["app-a-1", "GET", "http://app-b/", "more"], 2, "CLIENT METHOD URL"),
        ([], 2, "Missing argument"),
    ],
)
def test_questions_that_cannot_be_asked(mesh, tulle, words, code, said):
    done = tulle("explain", *words, "-n", "demo", "--control-plane", mesh.target)
    assert done.exit_code == code
    assert said in done.stderr


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("app-b", ("shop", "app-b")),
        ("app-b.demo", ("demo", "app-b")),
        ("app-b.demo.svc", ("demo", "app-b")),
        ("app-b.demo.svc.cluster.local", ("demo", "app-b")),
        ("a.app-b.demo.svc", None),
        ("a.b.c", None),
        ("app-b.svc", None),
    ],
)
def test_which_service_a_name_means(host, service):
    assert ask.service_of(host, "shop", "cluster.local") == service


def test_policies_nearest_first_those_taken_off_are_gone():
    def policy(kind, source):
        return {"type": kind, "source": source}

    config = {"policies": [policy("timeout", "wide"), policy("retry", "wide"), policy("fault", "wide")]}
    route = {"policies": [policy("retry", "near"), policy("mirror", "near")], "without_policies": ["fault", "retry"]}
    found = ask.policies(config, route, {"retry": 40, "timeout": 30, "mirror": 50})
    assert [(one["type"], one["source"], one["instead"]) for one in found] == [
        ("timeout", "wide", ""), ("retry", "near", "wide"), ("mirror", "near", ""),
    ]  # fmt: skip


# --- with matches: judged by the proxy's own code ---------------------------------------------------------

ASKER = ask.Asker("app-a-1", "demo", "demo/app-a", {"team": "beta"})


@pytest.fixture
def judge():
    pytest.importorskip("tulle_data_plane.logic.explaining", reason="the proxy has no matcher, or is not installed")


@pytest.mark.parametrize(
    ("method", "path", "headers", "chosen", "missed"),
    [
        ("GET", "/cart/1", ["x-user: 7"], "demo/shop/beta", []),
        ("GET", "/cart", ["x-user: 8"], None, ["header x-user is 8"]),
        ("GET", "/old?x=1", [], "demo/shop/2", ["path is /old", "header x-user is missing"]),
    ],
)
def test_which_match_decides_and_what_the_others_missed(judge, shop, method, path, headers, chosen, missed):
    config = shop()
    config["matches"][2]["source"]["namespaces"] = ["other"]
    told = ask.answer(config, ask.request_of(method, f"http://app-b{path}", headers), ASKER, {})
    assert told["route"] == chosen
    first = told["matches"][0]
    assert (first["fits"], first["chosen"], first["missed"]) == (not missed, not missed, missed)
    text = "\n".join(ask.lines(told))
    assert ("none fits: the answer is 404" in text) == (chosen is None)
    for word in missed:
        assert word in text


def test_a_match_on_who_calls_is_judged_by_the_client(judge, shop):
    config = shop()
    config["matches"] = [{"route": 1, "source": {"labels": {"team": "beta"}}}]
    request = ask.request_of("GET", "app-b", [])
    assert ask.answer(config, request, ASKER, {})["route"] == "demo/shop/1"
    assert ask.answer(config, request, ask.Asker("x", "demo"), {})["route"] is None


def test_of_many_matches_those_that_nearly_fit_are_shown(judge, shop):
    config = shop()
    paths = [{"path": {"type": "MATCH_TYPE_EXACT", "value": f"/{n}"}, "method": "PUT"} for n in range(100)]
    config["matches"] = [*paths, {"route": 1, "method": "GET"}, {"route": 2, "method": "POST"}]
    told = ask.answer(config, ask.request_of("GET", "http://app-b/7", []), ASKER, {})
    text = list(ask.lines(told))
    assert sum(line.endswith(": method is GET") for line in text) == 2  # /7 by PUT, and POST
    assert any("and 99 more that do not fit" in line for line in text)


def test_without_the_proxys_code_matches_cannot_be_judged(shop, monkeypatch):
    monkeypatch.setattr(ask.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(CliError, match="judged by the proxy's own code"):
        ask.answer(shop(), ask.request_of("GET", "app-b", []), ASKER, {})
