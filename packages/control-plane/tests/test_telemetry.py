"""Figures: what is added up, over which time, seen from which side. Time is passed in."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_control_plane.telemetry import traffic as traffic_module
from tulle_control_plane.telemetry import views
from tulle_control_plane.telemetry.figures import MOST, Counts, figures
from tulle_control_plane.telemetry.reports import Reports
from tulle_control_plane.telemetry.traffic import Peer, SeriesKey, Traffic
from tulle_control_plane.telemetry.views import Subject
from tulle_control_plane.telemetry.windows import Window, span
from tulle_plugin_api.latency import BUCKET_COUNT, bucket

CLIENT, SERVER = Peer("deployment/app-a", "default", True), Peer("deployment/app-b", "default", True)


def histogram(*seconds: float) -> list[int]:
    counts = [0] * BUCKET_COUNT
    for value in seconds:
        counts[bucket(value)] += 1
    return counts


def key(client=CLIENT, server=SERVER, service="app-b", by_client=True, secured=False) -> SeriesKey:
    return SeriesKey(client, server, service, "default" if service else "", secured, by_client)


# --- figures ----------------------------------------------------------------------------------------------


def test_figures_of_nothing():
    found = figures(Counts(), 30.0)
    assert (found.requests, found.rps, found.success, found.latency_p50, found.latency_p99) == (
        0,
        0.0,
        None,
        None,
        None,
    )


def test_figures():
    counts = Counts()
    counts.add_http(90, 0, histogram(*[0.012] * 90))
    counts.add_http(10, 3, histogram(*[0.4] * 10))
    counts.add_tcp(3000, 600)
    found = figures(counts, 20.0, tcp_open=4)
    assert (found.requests, found.rps, found.success, found.tcp_open) == (100, 5.0, 0.97, 4)
    assert (found.tcp_sent_bps, found.tcp_received_bps) == (150.0, 30.0)
    assert 0.01 < found.latency_p50 <= 0.015
    assert 0.3 < found.latency_p95 <= 0.5
    assert 0.3 < found.latency_p99 <= 0.5


def test_a_proxy_gone_mad_does_not_turn_sums_into_nonsense():
    counts = Counts()
    counts.add_http(2**64 - 1, 2**64 - 1, [2**64 - 1] * BUCKET_COUNT)
    counts.add_http(1, 5, [])  # more failures than requests
    assert counts.requests == MOST + 1
    assert counts.failures == MOST + 1
    assert 0 <= figures(counts, 1.0).success <= 1


# --- windows ----------------------------------------------------------------------------------------------


def counted(window: Window, seconds: float, now: float, since: float = 0.0) -> tuple[int, float]:
    stretch = span(seconds, now, since)
    total = Counts()
    window.add_to(total, stretch)
    return total.requests, stretch.seconds


def add(window: Window, now: float, requests: int = 1) -> None:
    for counts in window.at(now):
        counts.add_http(requests, 0, [])


@pytest.mark.parametrize("rate", [1, 7])
@pytest.mark.parametrize("window", [1.0, 10.0, 30.0, 60.0, 90.0, 600.0])
def test_a_steady_rate_is_read_as_that_rate(window, rate):
    series = Window()
    end = 2000
    for second in range(1, end + 1):
        add(series, float(second), rate)
    requests, seconds = counted(series, window, float(end) + 0.999)
    assert window <= seconds <= window + 20.0
    assert requests / seconds == pytest.approx(rate, rel=0.5 if window < 5 else 0.1)


def test_what_is_older_than_the_window_is_not_in_it():
    series = Window()
    add(series, 100.0, 5)
    assert counted(series, 30.0, 101.0)[0] == 5
    assert counted(series, 30.0, 133.0)[0] == 0
    assert counted(series, 300.0, 133.0)[0] == 5
    assert counted(series, 600.0, 721.0)[0] == 0


def test_shortly_after_the_start_the_rate_is_not_diluted():
    series = Window()
    add(series, 1000.5, 50)
    requests, seconds = counted(series, 30.0, 1005.0, since=1000.0)
    assert (requests, seconds) == (50, 5.0)


@pytest.mark.parametrize("window", [0.0, 0.9, -1.0, 601.0, float("inf"), float("nan")])
def test_windows_too_short_or_too_long_are_refused(window):
    with pytest.raises(ValueError, match="between 1 s and 600 s"):
        span(window, 100.0, 0.0)


@given(st.lists(st.floats(0, 2000), max_size=80), st.sampled_from([1.0, 15.0, 60.0, 61.0, 600.0]), st.floats(0, 100))
def test_a_window_holds_exactly_what_happened_in_the_seconds_it_says(times, window, after):
    """Against a naive count, for any times in order."""
    series = Window()
    for moment in sorted(times):
        add(series, moment)
    now = max(times, default=0.0) + after
    requests, seconds = counted(series, window, now, since=-1e9)
    assert requests == sum(now - seconds <= moment for moment in times)
    assert window <= seconds <= window + 20.0


def test_memory_of_a_series_is_bounded():
    series = Window()
    for second in range(10_000):
        add(series, float(second))
    assert sum(len(ring) for ring in series._rings) <= 62


# --- whose count is read ----------------------------------------------------------------------------------

SUBJECTS = [
    Subject("default", "deployment", "app-a", 1, 1),
    Subject("default", "deployment", "app-b", 2, 2),
    Subject("default", "service", "app-b", 2, 2),
]


def stat(traffic, now=10.0, window=10.0):
    return {(row["kind"], row["name"]): row["requests"] for row in views.stat(traffic, SUBJECTS, window, now)}


def test_both_ends_in_the_mesh_count_each_request_once():
    traffic = Traffic(0.0)
    traffic.add_http(key(by_client=True), 5.0, 10, 1, histogram(*[0.02] * 10))
    traffic.add_http(key(by_client=False), 5.0, 9, 0, histogram(*[0.01] * 9))  # one never arrived
    assert stat(traffic) == {("deployment", "app-a"): 0, ("deployment", "app-b"): 9, ("service", "app-b"): 10}
    (edge,) = views.edges(traffic, "", 10.0, 10.0)
    assert (edge["src"], edge["dst"], edge["requests"], edge["success"]) == (
        "deployment/app-a",
        "deployment/app-b",
        10,
        0.9,
    )


def test_a_client_outside_the_mesh_is_counted_by_the_server():
    traffic = Traffic(0.0)
    stranger = Peer("10.0.0.99", "")
    traffic.add_http(key(client=stranger, by_client=False), 5.0, 4, 0, [])
    assert stat(traffic) == {("deployment", "app-a"): 0, ("deployment", "app-b"): 4, ("service", "app-b"): 4}
    (edge,) = views.edges(traffic, "default", 10.0, 10.0)
    assert (edge["src"], edge["src_namespace"], edge["dst"]) == ("10.0.0.99", "", "deployment/app-b")


def test_a_server_outside_the_mesh_is_counted_by_the_client():
    traffic = Traffic(0.0)
    traffic.add_http(key(server=SERVER._replace(meshed=False)), 5.0, 4, 0, [])
    assert stat(traffic) == {("deployment", "app-a"): 0, ("deployment", "app-b"): 4, ("service", "app-b"): 4}


def test_edges_of_a_namespace_at_either_end():
    traffic = Traffic(0.0)
    far = Peer("deployment/app-c", "far", True)
    for server in (SERVER, far):
        traffic.add_http(key(server=server, service=""), 5.0, 1, 0, [])
    assert len(views.edges(traffic, "", 10.0, 10.0)) == 2
    assert len(views.edges(traffic, "default", 10.0, 10.0)) == 2
    assert [e["dst"] for e in views.edges(traffic, "far", 10.0, 10.0)] == ["deployment/app-c"]
    assert views.edges(traffic, "nowhere", 10.0, 10.0) == []


def test_secured_and_plain_are_two_edges():
    traffic = Traffic(0.0)
    for secured in (True, False):
        traffic.add_http(key(secured=secured), 5.0, 1, 0, [])
    assert [e["secured"] for e in views.edges(traffic, "", 10.0, 10.0)] == [False, True]


def test_rows_of_a_bad_window_are_refused():
    with pytest.raises(ValueError, match="a window is between"):
        views.stat(Traffic(0.0), SUBJECTS, 0.0, 10.0)
    with pytest.raises(ValueError, match="a window is between"):
        views.edges(Traffic(0.0), "", 1e9, 10.0)


# --- bounds -----------------------------------------------------------------------------------------------


def test_strangers_are_bounded_and_the_rest_is_others(monkeypatch):
    monkeypatch.setattr(traffic_module, "MOST_STRANGERS", 10)
    traffic = Traffic(0.0)
    for i in range(50):
        traffic.add_http(key(client=Peer(f"10.0.0.{i}", ""), by_client=False), 5.0, 1, 0, [])
    edges = {e["src"]: e["requests"] for e in views.edges(traffic, "", 10.0, 10.0)}
    assert len(edges) == 11
    assert edges["(others)"] == 40
    traffic.expire(5.0 + 601.0)
    traffic.add_http(key(client=Peer("10.0.0.49", ""), by_client=False), 700.0, 1, 0, [])
    assert [e["src"] for e in views.edges(traffic, "", 10.0, 700.0)] == ["10.0.0.49"]  # there is room again


def test_series_are_bounded_and_old_ones_make_room(monkeypatch):
    monkeypatch.setattr(traffic_module, "MOST_SERIES", 5)
    traffic = Traffic(0.0)
    for i in range(8):
        traffic.add_http(key(service=f"s{i}"), 5.0, 1, 0, [])
    assert (len(traffic.windows), traffic.dropped) == (5, 3)
    traffic.add_http(key(service="late"), 5.0 + 601.0, 1, 0, [])
    assert (len(traffic.windows), traffic.dropped) == (1, 3)


def test_open_connections_are_gauges_of_each_proxy(monkeypatch):
    traffic = Traffic(0.0)
    traffic.set_open("proxy-1", [(key(), 3), (key(service="x"), 1)])
    traffic.set_open("proxy-1", [(key(), 2)])
    traffic.set_open("proxy-2", [(key(), 4), (key(), 1)])
    assert traffic.open_connections() == {key(): 7}
    row = next(r for r in views.stat(traffic, SUBJECTS, 10.0, 10.0) if r["kind"] == "service")
    assert (row["tcp_open"], row["requests"]) == (7, 0)
    traffic.set_open("proxy-2", [(key(), 0)])
    traffic.forget("proxy-1")
    assert traffic.open_connections() == {}
    monkeypatch.setattr(traffic_module, "MOST_GAUGES_A_PROXY", 3)
    traffic.set_open("proxy-3", [(key(service=f"s{i}"), 1) for i in range(9)])
    assert len(traffic.open_connections()) == 3


# --- reports ----------------------------------------------------------------------------------------------


class Directory:
    pods = {  # noqa: RUF012
        ("default", "a-1"): Peer("deployment/app-a", "default", True),
        ("default", "b-1"): Peer("deployment/app-b", "default", True),
        ("default", "b-2"): Peer("deployment/app-b", "default", True),
        ("default", "c-1"): Peer("deployment/app-c", "default", False),
    }
    addresses = {"10.0.0.1": ("default", "a-1"), "10.0.0.2": ("default", "b-1")}  # noqa: RUF012

    def pod(self, namespace, name):
        return self.pods.get((namespace, name))

    def address(self, ip):
        return self.pods.get(self.addresses.get(ip))


OUT, IN = pb.DIRECTION_OUTBOUND, pb.DIRECTION_INBOUND
A = pb.ReportingNode(pod="a-1", namespace="default", workload="deployment/app-a", instance="i1")
B = pb.ReportingNode(pod="b-1", namespace="default", workload="deployment/app-b", instance="i2")


def taken(node, *, http=(), tcp=()) -> Reports:
    reports = Reports(Traffic(0.0), Directory())
    reports.take(node, pb.ReportRequest(http=http, tcp=tcp), 5.0)
    return reports


@pytest.mark.parametrize(
    ("node", "edge", "client", "server"),
    [
        (A, pb.Edge(direction=OUT, peer_pod="b-1", peer_namespace="default"), "app-a", "deployment/app-b"),
        (A, pb.Edge(direction=OUT, peer_pod="10.0.0.2"), "app-a", "deployment/app-b"),
        (A, pb.Edge(direction=OUT, peer_pod="93.184.216.34"), "app-a", "93.184.216.34"),
        (A, pb.Edge(direction=OUT, service="app-b", service_namespace="default"), "app-a", "service/app-b"),
        (A, pb.Edge(direction=OUT, peer_workload="job/x", peer_namespace="n", peer_pod="x-1"), "app-a", "job/x"),
        (A, pb.Edge(direction=OUT), "app-a", "(unknown)"),
        (B, pb.Edge(direction=IN, peer_pod="10.0.0.1"), "app-a", "deployment/app-b"),
    ],
)
def test_ends_get_their_names(node, edge, client, server):
    reports = taken(node, http=[pb.HttpSeries(edge=edge, requests=1)])
    (found,) = reports.traffic.windows
    assert (found.client.workload, found.server.workload) == (f"deployment/{client}", server)


def test_a_call_that_reached_no_endpoint_counts_for_the_service_once():
    edge = pb.Edge(direction=OUT, service="app-b", service_namespace="default")
    reports = taken(A, http=[pb.HttpSeries(edge=edge, requests=2, failures=2)])
    assert stat(reports.traffic) == {("deployment", "app-a"): 0, ("deployment", "app-b"): 0, ("service", "app-b"): 2}
    (row,) = views.edges(reports.traffic, "", 10.0, 10.0)
    assert (row["dst"], row["success"]) == ("service/app-b", 0.0)


def test_series_that_make_no_sense_are_named_and_the_rest_holds():
    edge = pb.Edge(
        direction=OUT, peer_pod="b-1", peer_namespace="default", service="app-b", service_namespace="default"
    )
    said = []
    reports = Reports(
        Traffic(0.0), Directory(), on_malformed=lambda reporter, problem: said.append((reporter, problem))
    )
    reports.take(
        A,
        pb.ReportRequest(
            http=[
                pb.HttpSeries(edge=edge, requests=1, latency_buckets=[1, 2, 3]),
                pb.HttpSeries(requests=1),
                pb.HttpSeries(edge=edge, requests=5, latency_buckets=histogram(*[0.01] * 5)),
            ],
            tcp=[pb.TcpSeries(sent_bytes=1)],
        ),
        5.0,
    )
    assert reports.malformed == 3
    assert [reporter for reporter, _ in said] == ["i1"] * 3
    assert stat(reports.traffic)["service", "app-b"] == 5


def test_connections_to_several_pods_of_a_workload_add_up_and_closed_ones_go():
    edges = [pb.Edge(direction=OUT, peer_pod=pod, peer_namespace="default", service="app-b") for pod in ("b-1", "b-2")]
    reports = taken(A, tcp=[pb.TcpSeries(edge=edge, open_connections=2) for edge in edges])
    assert list(reports.traffic.open_connections().values()) == [4]
    reports.take(A, pb.ReportRequest(tcp=[pb.TcpSeries(edge=edges[0], open_connections=1)]), 6.0)
    assert list(reports.traffic.open_connections().values()) == [1]
    reports.take(A, pb.ReportRequest(), 7.0)
    assert reports.traffic.open_connections() == {}


def test_a_restarted_proxy_reports_from_zero_and_nothing_is_lost_or_twice():
    edge = pb.Edge(direction=IN, peer_pod="10.0.0.1", service="app-b", service_namespace="default")
    reports = Reports(Traffic(0.0), Directory())
    for instance, requests in (("old", 5), ("old", 2), ("new", 1)):
        node = pb.ReportingNode(pod="b-1", namespace="default", instance=instance)
        series = pb.TcpSeries(edge=edge, open_connections=requests)
        reports.take(node, pb.ReportRequest(http=[pb.HttpSeries(edge=edge, requests=requests)], tcp=[series]), 5.0)
    assert stat(reports.traffic)["deployment", "app-b"] == 8
    assert sum(reports.traffic.open_connections().values()) == 3  # until the old stream is seen to end
    reports.forget(pb.ReportingNode(pod="b-1", namespace="default", instance="old"))
    assert sum(reports.traffic.open_connections().values()) == 1


def test_random_traffic_adds_up():
    """1,000 requests between random pods: edges and services hold every one of them, once."""
    chance = random.Random(7)
    reports = Reports(Traffic(0.0), Directory())
    for _ in range(1000):
        status = chance.choice([200, 200, 200, 503])
        common = {"status": status, "requests": 1, "failures": int(status == 503), "latency_buckets": histogram(0.01)}
        name = {"service": "app-b", "service_namespace": "default"}
        outbound = pb.Edge(direction=OUT, peer_pod="b-1", peer_namespace="default", **name)
        inbound = pb.Edge(direction=IN, peer_pod="10.0.0.1", **name)
        reports.take(A, pb.ReportRequest(http=[pb.HttpSeries(edge=outbound, **common)]), 5.0)
        reports.take(B, pb.ReportRequest(http=[pb.HttpSeries(edge=inbound, **common)]), 5.0)
    assert stat(reports.traffic) == {
        ("deployment", "app-a"): 0,
        ("deployment", "app-b"): 1000,
        ("service", "app-b"): 1000,
    }
    assert [row["requests"] for row in views.edges(reports.traffic, "", 10.0, 10.0)] == [1000]


# --- backends of a Service, as its callers see them -------------------------------------------------------


def test_backends_of_a_service_are_told_apart_as_the_callers_saw_them():
    name = {"service": "app-b", "service_namespace": "default"}
    old = pb.Edge(direction=OUT, peer_pod="b-1", peer_namespace="default", backend="default/app-b:80", **name)
    new = pb.Edge(direction=OUT, peer_pod="c-1", peer_namespace="default", backend="default/app-b2:80", **name)
    nobody = pb.Edge(direction=OUT, backend="default/app-b2:80", **name)  # none of its endpoints was reached
    served = pb.Edge(direction=IN, peer_pod="10.0.0.1", backend="x", **name)
    reports = taken(
        A,
        http=[
            pb.HttpSeries(edge=old, requests=95, latency_buckets=histogram(*[0.01] * 95)),
            pb.HttpSeries(edge=new, requests=4, latency_buckets=histogram(*[0.2] * 4)),
            pb.HttpSeries(edge=nobody, requests=1, failures=1, status=503, latency_buckets=histogram(0.01)),
        ],
    )
    reports.take(B, pb.ReportRequest(http=[pb.HttpSeries(edge=served, requests=95)]), 5.0)
    second, first = views.backends(reports.traffic, "default", "app-b", 10.0, 10.0)
    assert (first["backend"], first["requests"], first["failures"]) == ("default/app-b:80", 95, 0)
    assert (second["backend"], second["requests"], second["failures"]) == ("default/app-b2:80", 5, 1)
    assert second["success"] == 0.8
    assert first["latency_p99"] < 0.02 < 0.1 < second["latency_p99"]
    assert stat(reports.traffic)["service", "app-b"] == 100  # the Service's own row has them all, once


def test_backends_of_other_services_and_old_windows_are_left_out():
    traffic = Traffic(0.0)
    traffic.add_http(key()._replace(backend="default/app-b:80"), 5.0, 1, 0, [])
    traffic.add_http(key(service="x")._replace(backend="default/x:80"), 5.0, 1, 0, [])
    traffic.add_http(key(), 5.0, 1, 0, [])  # passed through: no backend was chosen
    traffic.add_tcp(key(service="y")._replace(backend="default/y:80"), 5.0, 10, 10)
    found = {row["backend"] for row in views.backends(traffic, "", "", 10.0, 10.0)}
    assert found == {"default/app-b:80", "default/x:80"}
    assert [row["service"] for row in views.backends(traffic, "default", "x", 10.0, 10.0)] == ["x"]
    assert views.backends(traffic, "elsewhere", "", 10.0, 10.0) == []
    assert views.backends(traffic, "", "", 10.0, 60.0) == []
    with pytest.raises(ValueError, match="a window is between"):
        views.backends(traffic, "", "", 0.0, 10.0)
