"""The HTTP API: every answer that README.md documents, and what bad requests are told."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_control_plane.directory import CatalogDirectory
from tulle_control_plane.feed import Feed
from tulle_control_plane.grpc.proxies import Proxies
from tulle_control_plane.grpc.session import INBOUND, Node, Session
from tulle_control_plane.grpc.telemetry import Gauges, PluginFault, Telemetry
from tulle_control_plane.telemetry.reports import Reports
from tulle_control_plane.telemetry.traffic import Traffic
from tulle_control_plane.web.app import Api
from tulle_plugin_api.latency import BUCKET_COUNT, bucket

README = (Path(__file__).parents[1] / "README.md").read_text()


class Server:
    """The API over a core, without sockets."""

    def __init__(self, world) -> None:
        self.snapshots = world.snapshots
        self.proxies = Proxies(world.snapshots, lambda: 1000.0)
        self.proxies._served = True
        self.feed = Feed("manifests", lambda: None, world.snapshots, lambda: None, lambda: 1000.0)
        directory = CatalogDirectory(world.snapshots.store)
        self.traffic = Traffic(0.0)
        self.reports = Reports(self.traffic, directory)
        self.telemetry = Telemetry(self.reports, None, lambda: 100.0)
        self.api = Api(
            version="0.1.0",
            cluster_domain="cluster.local",
            started=1000.0,
            proxies=self.proxies,
            feed=self.feed,
            telemetry=self.telemetry,
            traffic=self.traffic,
            directory=directory,
            wall=lambda: 1001.0,
            now=lambda: 100.0,
        )
        self.app = self.api.app()

    def request(self, path: str, method: str = "GET", **more) -> httpx.Response:
        async def ask():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://tulle") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, status: int = 200):
        answer = self.request(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def connect(self, pod: str, *destinations: str) -> Session:
        session = Session(Node(pod, "default", "sa", instance="i1", version="0.1.0", addresses=("10.244.0.5",)), 1000.0)
        connected = self.proxies.connect(session)
        for destination in destinations:
            self.proxies.subscribe(connected, destination)
        return session


def answer_all(session: Session) -> None:
    while (snapshot := session.next()) is not None:
        key = INBOUND if not hasattr(snapshot.result, "address") else snapshot.result.address
        session.ack(key, snapshot.version)


@pytest.fixture
def shop(world, make):
    owner = {"owner": "ReplicaSet/app-b-77f", "labels": {"pod-template-hash": "77f"}}
    return world(
        make.namespace("default"),
        make.service(),
        make.slice(endpoints=[make.endpoint("10.244.0.1", "app-b-1"), make.endpoint("10.244.0.2", "app-b-2")]),
        make.pod("app-b-1", "10.244.0.1", meshed=True, **owner),
        make.pod("app-b-2", "10.244.0.2", **owner),
        make.pod("app-b-0", "10.244.0.1", phase="Succeeded", **owner),
        make.pod("app-a-1", "10.244.0.5", meshed=True, owner="Deployment/app-a"),
        make.route(backends={"app-b:80": 1, "nobody:80": 1}),
        make.policy("t", "Service", "app-b"),
    )


@pytest.fixture
def server(shop):
    return Server(shop)


def documented(path: str):
    """The example that README.md gives for a path."""
    section = README.split(f"### `GET {path}", 1)[1]
    return json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])


def shape(value):
    """The fields of a JSON value, and whether each is a number, text, list or flag; null fits anything."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__
    return "number"


def test_live_and_ready(server):
    assert server.get("/live") == {"status": "ok"}
    assert server.get("/ready") == {"status": "ready"}
    server.snapshots.synced = False
    waiting = server.get("/ready", 503)
    assert waiting["status"] == "waiting"
    assert "'manifests'" in waiting["error"]


def test_version(server):
    assert shape(server.get("/api/v1/version")) == shape(documented("/api/v1/version"))


def report(server) -> None:
    edge = pb.Edge(
        direction=pb.DIRECTION_OUTBOUND,
        peer_pod="app-b-1",
        peer_namespace="default",
        service="app-b",
        service_namespace="default",
        backend="default/app-b:80",
    )
    counts = [0] * BUCKET_COUNT
    counts[bucket(0.012)] = 50
    http = pb.HttpSeries(edge=edge, requests=50, failures=5, latency_buckets=counts)
    tcp = pb.TcpSeries(edge=edge, open_connections=3)
    node = pb.ReportingNode(pod="app-a-1", namespace="default", instance="i1")
    server.reports.take(node, pb.ReportRequest(http=[http], tcp=[tcp]), 95.0)
    http.edge.direction, http.edge.peer_pod = pb.DIRECTION_INBOUND, "app-a-1"
    node = pb.ReportingNode(pod="app-b-1", namespace="default", instance="i2")
    server.reports.take(node, pb.ReportRequest(http=[http]), 95.0)


def test_stat(server):
    report(server)
    answer = server.get("/api/v1/stat?window=10s")
    assert answer["window"] == 10.0
    assert shape(answer["rows"][2]) == shape(documented("/api/v1/stat")["rows"][0])
    rows = {(row["kind"], row["name"]): row for row in answer["rows"]}
    assert list(rows) == [("deployment", "app-a"), ("deployment", "app-b"), ("service", "app-b")]
    assert (rows["deployment", "app-b"]["meshed"], rows["deployment", "app-b"]["pods"]) == ("1/2", 2)
    service = rows["service", "app-b"]
    assert (service["requests"], service["rps"], service["success"], service["tcp_open"]) == (50, 5.0, 0.9, 3)
    assert 0.01 < service["latency_p50"] < service["latency_p95"] < service["latency_p99"] <= 0.015
    quiet = rows["deployment", "app-a"]
    assert (quiet["success"], quiet["latency_p50"], quiet["rps"], quiet["meshed"]) == (None, None, 0.0, "1/1")


def test_stat_of_one_kind_or_namespace(server):
    assert [r["kind"] for r in server.get("/api/v1/stat?kind=service")["rows"]] == ["service"]
    assert server.get("/api/v1/stat?namespace=elsewhere")["rows"] == []


def test_backends(server):
    report(server)
    answer = server.get("/api/v1/backends?window=10s&namespace=default&service=app-b")
    (row,) = answer["rows"]
    assert shape(row) == shape(documented("/api/v1/backends")["rows"][0])
    assert (row["service"], row["backend"], row["requests"], row["failures"]) == ("app-b", "default/app-b:80", 50, 5)
    assert server.get("/api/v1/backends?service=else")["rows"] == []


def test_edges(server):
    report(server)
    answer = server.get("/api/v1/edges?window=10s&namespace=default")
    (row,) = answer["rows"]
    assert shape(row) == shape(documented("/api/v1/edges")["rows"][0])
    assert (row["src"], row["dst"], row["rps"], row["success"]) == ("deployment/app-a", "deployment/app-b", 5.0, 0.9)
    assert row["p50"] == row["latency_p50"]


@pytest.mark.parametrize(
    ("window", "words"),
    [("0s", "1s to 10m"), ("11m", "1s to 10m"), ("30", "a duration such as"), ("x", "a duration such as")],
)
@pytest.mark.parametrize("path", ["stat", "edges", "backends"])
def test_bad_windows_are_told_what_would_be_right(server, path, window, words):
    assert words in server.get(f"/api/v1/{path}?window={window}", 400)["error"]


def test_proxies(server):
    session = server.connect("app-a-1", "10.96.0.7:80")
    answer_all(session)
    server.telemetry.gauges["default", "app-a-1"] = Gauges("i1", 1 << 20, 7, 3)
    fault = PluginFault("policy-slow", "suspended", "blocked the event loop", 3)
    server.telemetry.faults["default", "app-a-1"] = (fault,)
    answer = server.get("/api/v1/proxies")
    example = documented("/api/v1/proxies?namespace=")
    assert shape(answer["proxies"][0]) == shape(example["proxies"][0])
    assert answer["counts"] == {"SYNCED": 1, "STALE": 0, "REJECTED": 0}
    (proxy,) = answer["proxies"]
    assert (proxy["workload"], proxy["state"], proxy["resident_bytes"]) == ("deployment/app-a", "SYNCED", 1 << 20)
    first = proxy["destinations"][0]
    assert (first["destination"], first["service"]) == ("10.96.0.7:80", "app-b.default.svc.cluster.local:80")
    assert first["version"] == first["acked_version"] != ""
    assert [d["destination"] for d in proxy["destinations"]] == ["10.96.0.7:80", "inbound"]
    assert server.get("/api/v1/proxies?namespace=else")["proxies"] == []


def test_a_rejected_proxy_says_why(server):
    session = server.connect("app-a-1", "10.96.0.7:80")
    answer_all(session)
    version = session.subscriptions["10.96.0.7:80"].version
    session.subscriptions["10.96.0.7:80"].acked_version = "older"
    session.nack("10.96.0.7:80", version, "no balancer 'x'")
    answer = server.get("/api/v1/proxies")
    assert answer["counts"] == {"SYNCED": 0, "STALE": 0, "REJECTED": 1}
    (proxy,) = answer["proxies"]
    assert (proxy["state"], proxy["error"]) == ("REJECTED", "no balancer 'x'")
    rejected = proxy["destinations"][0]
    assert (rejected["state"], rejected["acked_version"], rejected["version"]) == ("REJECTED", "older", version)


def test_one_proxy_with_its_configuration(server):
    answer_all(server.connect("app-b-1", "10.96.0.7:80", "10.96.9.9:1"))
    proxy = server.get("/api/v1/proxies/default/app-b-1")
    known, unknown, inbound = proxy["destinations"]
    assert known["config"]["backends"][0]["endpoints"][0]["address"] == "10.244.0.1"
    assert known["config"]["protocol"] == "PROTOCOL_DETECT"
    assert (unknown["known"], unknown["config"]) == (False, {"address": "10.96.9.9:1"})
    assert inbound["config"]["ports"][0]["port"] == 8080
    assert "no proxy of pod default/nobody" in server.get("/api/v1/proxies/default/nobody", 404)["error"]


def test_proxies_before_the_catalog_has_synced(server):
    server.proxies._served = False
    server.connect("app-a-1", "10.96.0.7:80")
    (proxy,) = server.get("/api/v1/proxies/default/app-a-1")["destinations"][:1]
    assert (proxy["version"], proxy["known"], proxy["config"]) == ("", False, None)


def test_consumer_routes_are_seen_by_their_own_namespace_alone(server, shop, make):
    shop.tell(make.route("mine", backends={"app-b:80": 7}, ns="shop", parent_ns="default"))
    names = {}
    for client in ("default", "shop", "else"):
        (table,) = server.get(f"/api/v1/routes?service=app-b&client={client}")["tables"]
        names[client] = [row["route"] for row in table["rows"]]
    assert names == {"default": ["default/app-b/0"], "shop": ["shop/mine/0"], "else": ["default/app-b/0"]}
    assert not shop.snapshots._watched  # nothing is kept


def rehearse(server, *objects, status=200):
    answer = server.request("/api/v1/rehearse", "POST", json={"objects": list(objects)})
    assert answer.status_code == status
    return answer.json()


def test_a_rehearsal_says_what_would_change_and_where_and_changes_nothing(server, shop, make):
    answer_all(server.connect("app-a-1", "10.96.0.7:80"))
    answer_all(server.connect("app-b-1", "10.96.9.9:1"))
    before = server.get("/api/v1/routes?service=app-b"), server.get("/api/v1/catalog")
    told = rehearse(server, make.route(backends={"app-b:80": 3}))
    section = README.split("### `POST /api/v1/rehearse`", 1)[1]
    example = json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])
    assert shape({**told["objects"][0], "conditions": 0}) == shape({**example["objects"][0], "conditions": 0})
    assert (told["objects"][0]["change"], told["objects"][0]["conditions"][1]["status"]) == ("changed", "True")
    (one,) = told["destinations"]
    assert set(one) == set(example["destinations"][0])
    assert (one["client"], one["destination"], one["proxies"]) == ("default", "10.96.0.7:80", ["default/app-a-1"])
    assert len(one["before"]["routes"][0]["backends"]) == 2
    assert one["after"]["routes"][0]["backends"] == [{"backend": "default/app-b:80", "weight": 3}]
    assert (server.get("/api/v1/routes?service=app-b"), server.get("/api/v1/catalog")) == before
    assert not shop.snapshots.dirty


def test_what_would_change_for_nobody_yet_is_said_too(server, make):
    (one,) = rehearse(server, make.route(backends={"app-b:80": 3}))["destinations"]
    assert (one["client"], one["proxies"]) == ("default", [])


def test_what_is_the_same_changes_nothing(server, make):
    told = rehearse(server, make.route(backends={"app-b:80": 1, "nobody:80": 1}))
    assert ([o["change"] for o in told["objects"]], told["destinations"]) == (["unchanged"], [])


def test_a_new_route_is_the_youngest_and_a_changed_one_keeps_its_age(server, shop, make):
    shop.tell(make.route(backends={"app-b:80": 1}, created="1970-01-01T00:10:00Z"))  # it is 00:16 on the wall
    told = rehearse(server, make.route("aaa", backends={"app-b:80": 9}))
    (one,) = told["destinations"]
    assert [route["name"] for route in one["after"]["routes"]] == ["default/app-b/0", "default/aaa/0"]
    shop.tell(make.route("old", backends={"app-b:80": 1}, created="1970-01-01T00:05:00Z"))
    (one,) = rehearse(server, make.route(backends={"app-b:80": 9}))["destinations"]
    assert [route["name"] for route in one["after"]["routes"]] == ["default/old/0", "default/app-b/0"]


def test_inbound_policies_change_the_pods_that_serve(server, make):
    answer_all(server.connect("app-b-1"))
    told = rehearse(server, make.policy("a", "Service", "app-b", type="authorization"))
    assert [(d["destination"], d["proxies"]) for d in told["destinations"]] == [("inbound", ["default/app-b-1"])]


def test_what_is_refused_is_named_and_the_rest_is_compared(server, make):
    told = rehearse(
        server, make.route("bad", rules="x"), make.service("s"), "nonsense", {"kind": "HTTPRoute"},
        make.route(backends={"app-b:80": 3}),
    )  # fmt: skip
    assert [o["change"] for o in told["objects"]] == ["refused", "ignored", "refused", "refused", "changed"]
    assert "rules" in told["objects"][0]["problem"]
    assert len(told["destinations"]) == 1


def test_bodies_that_are_no_rehearsal(server, monkeypatch):
    for body in (b"", b"[]", b"{}", b'{"objects": 1}', b"\xff"):
        assert server.request("/api/v1/rehearse", "POST", content=body).status_code == 400
    monkeypatch.setattr("tulle_control_plane.web.app.LARGEST_BODY", 10)
    assert server.request("/api/v1/rehearse", "POST", content=b" " * 11).status_code == 413


def test_catalog(server, shop, make):
    shop.tell(make.service("bad", ports=[{"port": 0}]))
    shop.tell(make.policy("t", "Service", "app-b", config={"n": "x"}))
    answer = server.get("/api/v1/catalog")
    assert {name: shape(value) for name, value in answer.items() if name in ("synced", "source")} == {
        "synced": "bool",
        "source": "str",
    }
    assert set(answer) == set(documented("/api/v1/catalog"))
    assert answer["counts"]["Pod"] == 4
    (route,) = answer["objects"]["HTTPRoute"]
    said = {c["type"]: (c["status"], c["reason"]) for c in route["conditions"]}
    assert said == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", "BackendNotFound")}
    (policy,) = answer["objects"]["MeshPolicy"]
    assert policy["conditions"][0]["status"] == "False"
    assert "the last good version stays in force" in policy["conditions"][0]["message"]
    assert [r["source"] for r in answer["rejected"]] == ["MeshPolicy default/t", "Service default/bad"]
    assert set(answer["rejected"][0]) == {"source", "problem", "since"}


def test_catalog_of_one_kind_and_namespace(server):
    answer = server.get("/api/v1/catalog?kind=Pod&namespace=default")
    assert list(answer["objects"]) == ["Pod"]
    assert server.get("/api/v1/catalog?namespace=else")["objects"] == {}


def test_what_is_not_there_and_what_is_not_allowed(server):
    assert "/api/v1/nope" in server.get("/api/v1/nope", 404)["error"]
    assert server.request("/api/v1/stat", "POST").status_code == 405
    assert server.request("/api/v1/proxies/a/b/c").status_code == 404


# --- routes -----------------------------------------------------------------------------------------------------


def test_routes(server, shop, make):
    match = {"path": {"type": "PathPrefix", "value": "/cart"}}
    rule = {"matches": [match], "backendRefs": [make.backend("app-b:80"), make.backend("nobody:80")]}
    shop.tell(make.route(rules=[{**rule, "timeouts": {"request": "1s"}}, {"filters": [{"type": "RequestRedirect",
              "requestRedirect": {"statusCode": 301}}]}]))  # fmt: skip
    answer = server.get("/api/v1/routes?service=app-b")
    (table,) = answer["tables"]
    config, table["config"] = table["config"], {}
    expected = documented("/api/v1/routes")["tables"][0]
    assert set(table) == set(expected)
    assert shape(table["rows"][0]) == shape(expected["rows"][0])
    assert [(row["route"], row["match"], row["filters"]) for row in table["rows"]] == [
        ("default/app-b/0", ["path begins with /cart"], []), ("default/app-b/1", [], ["redirect 301"]),
    ]  # fmt: skip
    assert [share["percent"] for share in table["rows"][0]["backends"]] == [50.0, 50.0]
    assert [(b["name"], b["resolved"], b["endpoints"]) for b in table["backends"]] == [
        ("default/app-b:80", True, 2), ("default/nobody:80", False, 0),
    ]  # fmt: skip
    assert len(config["matches"]) == 2
    assert [len(backend.get("endpoints", [])) for backend in config["backends"]] == [2, 0]
    (route,) = answer["routes"]
    assert set(route) == set(documented("/api/v1/routes")["routes"][0])
    assert {c["type"]: c["reason"] for c in route["conditions"]} == {
        "Accepted": "Accepted", "ResolvedRefs": "BackendNotFound",
    }  # fmt: skip
    server.proxies.snapshots.synced = False
    assert "not synced" in server.get("/api/v1/routes?service=app-b", 503)["error"]
    assert server.request("/api/v1/rehearse", "POST", json={"objects": []}).status_code == 503


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "service: missing"), ("?service=app-b&port=x", 400, "port: expected a number"),
        ("?service=nobody", 404, "no Service default/nobody"), ("?service=app-b&port=81", 404, "port 81"),
    ],
)  # fmt: skip
def test_routes_of_nobody(server, query, status, words):
    assert words in server.get(f"/api/v1/routes{query}", status)["error"]


def test_a_route_says_in_how_many_proxies_it_is_in_force(server, shop):
    def programmed():
        (row,) = server.get("/api/v1/catalog?kind=HTTPRoute")["objects"]["HTTPRoute"]
        return [(c["status"], c["reason"], c["message"]) for c in row["conditions"] if c["type"] == "Programmed"]

    assert programmed() == []
    one, two = (server.connect(pod, "10.96.0.7:80") for pod in ("app-a-1", "app-a-2"))
    assert programmed() == [("False", "Pending", "in force in 0 of 2 proxies that call its Services")]
    answer_all(one)
    assert programmed()[0][2].startswith("in force in 1 of 2")
    answer_all(two)
    version = two.subscriptions["10.96.0.7:80"].version
    two.nack("10.96.0.7:80", version, "no such policy")
    ((status, reason, message),) = programmed()
    assert (status, reason) == ("False", "Invalid")
    assert message.endswith("refused: no such policy")
    two.ack("10.96.0.7:80", version)
    assert programmed() == [("True", "Programmed", "in force in 2 of 2 proxies that call its Services")]


def test_what_is_in_force_is_said_of_the_newest_there_is(server, shop, make):
    """Also right after a change, before the refresh that follows it: who waits for it must not be told of the last."""
    session = server.connect("app-a-1", "10.96.0.7:80")
    answer_all(session)
    shop.tell(make.route(backends={"app-b:80": 3}))
    assert session.next() is None  # nobody has refreshed yet
    (row,) = server.get("/api/v1/catalog?kind=HTTPRoute")["objects"]["HTTPRoute"]
    assert {c["type"]: c["reason"] for c in row["conditions"]}["Programmed"] == "Pending"
    assert session.next() is not None
    shop.tell(make.route(backends={"app-b:80": 4}))
    (proxy,) = server.get("/api/v1/proxies")["proxies"]
    (told,) = [each for each in proxy["destinations"] if each["destination"] == "10.96.0.7:80"]
    assert told["version"] != told["acked_version"]
