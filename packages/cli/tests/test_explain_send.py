"""`tulle explain CLIENT METHOD URL --send`: what is asked for, what is told of it, and what does not agree."""

import copy
import json

import pytest
from tulle_cli import sent

VERSION = "5b0f"


FIRST = {"number": 1, "chosen": True}


def limited(namespace, pod):
    return [{"type": "rate-limit", "source": "MeshPolicy demo/limit"}]


def step(kind, depth=0, outcome="passed", **more):
    made = {"depth": depth, "kind": kind, "name": "", "source": "", "began_us": 100 * depth, "ended_us": 5000,
            "outcome": outcome, "status": 0 if "fail" in outcome else 200, "reason": "", "detail": "", "notes": [],
            "pod": "", "namespace": "", "address": "", "row": 0}  # fmt: skip
    return {**made, **more}


def account(*steps, **more):
    made = {"problem": "", "status": 200, "reason": "", "route": "demo/shop/1", "backend": "demo/app-b:80",
            "attempts": 1, "answered_us": 5000, "ended_us": 5100, "body_bytes": 3, "version": VERSION,
            "began_unix_us": 1, "cut": False, "steps": list(steps)}  # fmt: skip
    return {**made, **more}


QUICK = {"name": "timeout", "source": "MeshPolicy demo/quick"}
LIMIT = {"name": "rate-limit", "source": "MeshPolicy demo/limit"}


@pytest.fixture
def became():
    """As the control plane answers: a retry's second try is served."""
    one = {"namespace": "demo", "pod": "app-b-7", "address": "10.244.0.7:8080"}
    client = account(
        step("rescue"), step("match", 1, row=1), step("route", 2, notes=["demo/shop/1: backend demo/app-b:80"]),
        step("policy", 3, **QUICK), step("policy", 4, name="headers", source="demo/shop/1"),
        step("balance", 5, notes=["tried again"]),
        step("dial", 6, "failed", reason="connect-failed", detail="no connection", **one),
        step("dial", 6, "answered", notes=["over a new connection, made in 0.4 ms"], **one),
    )  # fmt: skip
    server = {"namespace": "demo", "pod": "app-b-7", **account(step("rescue"), step("policy", 1, **LIMIT), route="")}
    return {"client": client, "servers": [server], "silent": []}


@pytest.fixture
def mesh(api, shop, became):
    """As in test_explain_request, and the control plane can have it sent."""
    table, nearer = api.answers["/api/v1/routes"]["tables"][0], dict(shop()["policies"][0])
    config = {**shop(), "matches": [], "routes": [shop()["routes"][1]]}
    config["routes"][0]["policies"] = [{**nearer, "source": "MeshPolicy demo/quick", "config": '{"request":"1s"}'}]
    for one in config["backends"]:
        for endpoint in one.get("endpoints", []):
            endpoint["namespace"] = "demo"
    table |= {"config": config, "version": VERSION}
    proxies = api.answers["/api/v1/proxies"]["proxies"]
    served = {**proxies[1], "pod": "app-b-7", "workload": "deployment/app-b"}
    proxies.append(served)
    limit = {"type": "rate-limit", "source": "MeshPolicy demo/limit", "config": "{}"}
    inbound = {"destination": "inbound", "state": "SYNCED", "config": {"ports": [{"port": 8080, "policies": [limit]}]}}
    api.answers["/api/v1/proxies/demo/app-b-7"] = {**served, "destinations": [inbound]}
    api.answers["/api/v1/explain"] = became
    return api


ASKED = ("explain", "deploy/app-a", "POST", "http://app-b/cart?x=1", "-H", "x-user: 7", "-n", "demo", "--send")


def test_both_accounts_are_told_and_that_they_agree(mesh, tulle, golden):
    done = tulle(*ASKED, "--timeout", "20", "--control-plane", mesh.target)
    assert done.exit_code == 0, done.output
    golden("explain-send.txt", done.output)
    assert mesh.given == [{
        "namespace": "demo", "pod": "app-a-1", "destination": "10.96.0.7:80", "method": "POST", "path": "/cart?x=1",
        "fields": [["host", "app-b"], ["x-user", "7"]], "seconds": 20,
    }]  # fmt: skip
    told = json.loads(tulle(*ASKED, "-o", "json", "--control-plane", mesh.target).output)
    assert told["route"] == "demo/shop/1"  # what is said without --send is there, too
    assert (told["sent"]["agrees"], told["sent"]["disagreements"]) == (True, [])
    assert [one["kind"] for one in told["sent"]["client"]["steps"]][:3] == ["rescue", "match", "route"]
    assert told["sent"]["servers"][0]["pod"] == "app-b-7"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a["client"].update(route="demo/shop/0"), "demo/shop/1 was said to take it, and demo/shop/0 did"),
        (lambda a: a["client"]["steps"][1].update(row=2), "match 1 was said to decide, and match 2 did"),
        (lambda a: a["client"].update(reason="no-route", status=404),
         "demo/shop/1 was said to take it, and no match did"),
        (lambda a: a["client"]["steps"][3].update(source="MeshPolicy demo/slow"),
         "timeout (MeshPolicy demo/slow) was met, and not said to hold"),
        (lambda a: a["client"].update(backend="demo/z:80"), "it was for demo/z:80, which was not said to get any"),
        (lambda a: a["client"]["steps"][7].update(address="10.244.0.99:8080"), "no endpoint that was named"),
        (lambda a: a["servers"][0]["steps"][1].update(name="fault"),
         "at demo/app-b-7, fault (MeshPolicy demo/limit) was met, and not said to hold"),
        (lambda a: a["client"].update(version="11aa"), "ran configuration 11aa, and 5b0f was asked about"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_told(mesh, tulle, became, change, words):
    change(became)
    done = tulle(*ASKED, "--control-plane", mesh.target)
    assert done.exit_code == 0
    assert "NOT as was said" in done.output
    assert words in done.output
    told = json.loads(tulle(*ASKED, "-o", "json", "--control-plane", mesh.target).output)
    assert not told["sent"]["agrees"]


def test_no_route_as_was_said(mesh, tulle, became, shop):
    pytest.importorskip("tulle_data_plane.logic.explaining", reason="the proxy has no matcher, or is not installed")
    config = mesh.answers["/api/v1/routes"]["tables"][0]["config"]
    config["matches"] = [{"path": {"type": "MATCH_TYPE_EXACT", "value": "/only"}}]
    became["client"] = account(step("rescue"), step("match", 1, "failed", reason="no-route"), status=404,
                               reason="no-route", route="", backend="")  # fmt: skip
    became["servers"] = []
    output = tulle(*ASKED, "--control-plane", mesh.target).output
    assert "as was said before it was sent" in output
    assert "tulle explain no-route says what that means" in output
    became["client"]["reason"] = ""
    assert "no match was said to fit" in tulle(*ASKED, "--control-plane", mesh.target).output


def test_policies_in_another_order_do_not_agree(became):
    told = {"route": "demo/shop/1", "matches": [FIRST], "backends": [], "policies": [
        {"type": "retry", "source": "a"}, {"type": "timeout", "source": "MeshPolicy demo/quick"}]}  # fmt: skip
    became["client"]["steps"].insert(4, step("policy", 4, name="retry", source="a"))
    became["client"]["backend"] = ""  # a redirect has none
    seen = sent.Seen.of(became, VERSION)
    assert sent.disagreements(told, limited, seen) == ["policies were met in another order: timeout, retry"]
    told["policies"].reverse()
    assert sent.disagreements(told, limited, seen) == []


def test_what_has_not_come_to_an_end_and_who_has_not_told(mesh, tulle, became):
    became["client"] = account(step("rescue", outcome=""), problem="no answer within 10 s", status=0, cut=True)
    became["servers"], became["silent"] = [], [{"namespace": "demo", "pod": "app-b-8"}]
    output = tulle(*ASKED, "--control-plane", mesh.target).output
    for words in ("no answer within 10 s", "no answer after 5.10 ms", "rescue: had not come to an end",
                  "and more, which is not told", "the proxy of demo/app-b-8 did not tell its part"):  # fmt: skip
        assert words in output


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {"error": "requests are sent only for those"}), "requests are sent only for those"),
        ((404, {"error": "no proxy of pod demo/app-a-1 is connected"}), "no proxy of pod demo/app-a-1 is connected"),
        ((504, {"error": "did not say within 12 s"}), "did not say within 12 s"),
        ({"client": account(problem="10.96.0.7:80 is relayed as bytes"), "servers": [], "silent": []},
         "relayed as bytes"),
    ],
)  # fmt: skip
def test_why_nothing_was_sent(mesh, tulle, answer, words):
    mesh.answers["/api/v1/explain"] = answer
    done = tulle(*ASKED, "--control-plane", mesh.target)
    assert done.exit_code == 1
    assert words in done.output


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("deploy/app-z", "http://app-b/"), "no connected proxy of deployment app-z"),
        (("app-z-1", "http://app-b/"), "app-z-1"),
        (("app-a-1", "https://app-b/"), "cannot be explained"),
    ],
)
def test_bad_questions_are_not_sent(mesh, tulle, asked, words):
    done = tulle("explain", *asked, "-n", "demo", "--send", "--control-plane", mesh.target)
    assert done.exit_code == 1
    assert words in done.output
    assert not mesh.given


def test_what_is_passed_through_is_not_sent(mesh, tulle):
    done = tulle("explain", "app-a-1", "http://example.com/", "-n", "demo", "--send", "--control-plane", mesh.target)
    assert done.exit_code == 0
    assert "it was not sent" in done.output
    assert not mesh.given


def test_a_reason_cannot_be_sent(tulle):
    done = tulle("explain", "no-route", "--send")
    assert done.exit_code == 2
    assert "expected CLIENT METHOD URL" in done.output


def test_an_ipv6_endpoint_is_known_by_its_address(became):
    told = {"route": "demo/shop/1", "matches": [FIRST], "policies": [{"type": "timeout", "source": QUICK["source"]}],
            "backends": [{"backend": "demo/app-b:80", "weight": None, "endpoints": [
                {"address": "fd00::7", "port": 8080}]}]}  # fmt: skip
    client = copy.deepcopy(became["client"])
    for one in client["steps"]:
        one["address"] = "[fd00::7]:8080" if one["address"] else ""
    assert sent.disagreements(told, limited, sent.Seen(client, [], [], VERSION)) == []
