"""Telemetry: additions that are handed over once, totals that stay right when there are too many series."""

import pytest
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_data_plane.layers.probe import PROBE_ROUTE
from tulle_data_plane.telemetry import MAX_SERIES, Telemetry
from tulle_plugin_api import Address, Endpoint, Exchange, Service
from tulle_plugin_api.kinds import kind
from tulle_plugin_api.latency import LATENCY_BUCKETS

SERVICE = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")


def exchange(status=200, seconds=0.1, pod="pod-1", **more):
    one = Exchange()
    one.started, one.ended, one.status = 1000.0, 1000.0 + seconds, status
    one.endpoint = Endpoint(Address("10.1.0.1", 8080), pod=pod, namespace="default", workload="deployment/app-b")
    one.service, one.route, one.backend = SERVICE, "default/r/0", "default/app-b:80"
    one.request_bytes, one.response_bytes = 10, 1000
    for name, value in more.items():
        setattr(one, name, value)
    return one


def tcp(**more):
    return exchange(status=0, protocol="tcp", **more)


def test_requests_are_added_up_by_what_they_have_in_common():
    telemetry = Telemetry()
    for status, seconds in ((200, 0.1), (200, 0.3), (503, 0.2)):
        telemetry.observe(exchange(status, seconds))
    report = telemetry.take(1000)
    good, bad = sorted(report.http, key=lambda series: series.status)
    assert (good.status, good.requests, good.failures) == (200, 2, 0)
    assert good.latency_sum_us == pytest.approx(400_000, abs=2)
    assert (good.request_bytes, good.response_bytes) == (20, 2000)
    assert (bad.status, bad.requests, bad.failures) == (503, 1, 1)
    assert len(good.latency_buckets) == len(LATENCY_BUCKETS) + 1
    assert sum(good.latency_buckets) == 2
    edge = good.edge
    assert (edge.direction, edge.peer_pod, edge.peer_namespace, edge.peer_workload) == (
        pb.DIRECTION_OUTBOUND, "pod-1", "default", "deployment/app-b",
    )
    assert (edge.service, edge.service_namespace, edge.service_port) == ("app-b", "default", 80)
    assert (edge.route, edge.backend, edge.secured) == ("default/r/0", "default/app-b:80", False)
    assert report.interval_ms == 1000


def by_kind(telemetry, exchanges):
    """Tell `telemetry` of them as the proxy does: one observer a kind."""
    observers = {}
    for one in exchanges:
        observers.setdefault(kind(one), telemetry.observer(one))(one)
    return observers


def test_told_by_kinds_it_reports_the_same():
    told = [
        exchange(status, endpoint=endpoint, direction=way, route=route, source=Address(ip, 40000), aborted=aborted)
        for status in (200, 503) for endpoint in (None, exchange().endpoint)
        for way in ("inbound", "outbound") for route in ("default/r/0", PROBE_ROUTE)
        for ip in ("10.0.0.1", "10.0.0.2") for aborted in (False, True)
    ] * 2  # fmt: skip
    plain, kinds = Telemetry(), Telemetry()
    for one in told:
        plain.observe(one)
    by_kind(kinds, told)
    assert kinds.take(1000) == plain.take(1000)


def test_an_observer_of_a_kind_outlives_reports():
    telemetry = Telemetry()
    (observer,) = by_kind(telemetry, [exchange()]).values()
    for _ in range(2):
        assert [series.requests for series in telemetry.take(1).http] == [1]
        assert not telemetry.take(1).http
        observer(exchange())


@pytest.mark.parametrize("seconds", [0.0, *LATENCY_BUCKETS, 1e6])
def test_a_latency_is_in_the_bucket_whose_bound_it_does_not_exceed(seconds):
    telemetry = Telemetry()
    telemetry.observe(exchange(started=0.0, ended=seconds))
    (series,) = telemetry.take(1).http
    at = list(series.latency_buckets).index(1)
    assert at == next((n for n, bound in enumerate(LATENCY_BUCKETS) if seconds <= bound), len(LATENCY_BUCKETS))


def test_what_was_taken_is_not_told_again():
    telemetry = Telemetry()
    telemetry.observe(exchange())
    assert len(telemetry.take(1).http) == 1
    assert len(telemetry.take(1).http) == 0
    telemetry.observe(exchange())
    assert telemetry.take(1).http[0].requests == 1


@pytest.mark.parametrize(
    "change",
    [{"direction": "inbound"}, {"service": None}, {"route": "x"}, {"backend": "x"}, {"secured": True},
     {"reason": "timeout"}, {"status": 201}, {"pod": "pod-2"}],
    ids=lambda change: next(iter(change)),
)
def test_what_differs_is_told_apart(change):
    telemetry = Telemetry()
    telemetry.observe(exchange())
    telemetry.observe(exchange(**change))
    assert len(telemetry.take(1).http) == 2


def test_an_inbound_peer_is_known_by_its_address_alone():
    telemetry = Telemetry()
    for port in (1, 2):
        telemetry.observe(exchange(direction="inbound", source=Address("10.1.0.7", port)))
    (series,) = telemetry.take(1).http
    assert (series.edge.peer_pod, series.edge.direction, series.requests) == ("10.1.0.7", pb.DIRECTION_INBOUND, 2)


def test_an_endpoint_without_a_pod_is_known_by_its_address():
    telemetry = Telemetry()
    telemetry.observe(exchange(endpoint=Endpoint(Address("10.0.0.1", 1)), service=None, route="", backend=""))
    edge = telemetry.take(1).http[0].edge
    assert (edge.peer_pod, edge.service, edge.service_port) == ("10.0.0.1", "", 0)


def test_an_exchange_that_reached_nobody():
    telemetry = Telemetry()
    telemetry.observe(exchange(503, endpoint=None, reason="no-endpoints"))
    (series,) = telemetry.take(1).http
    assert (series.edge.peer_pod, series.reason, series.failures) == ("", "no-endpoints", 1)


@pytest.mark.parametrize(
    ("change", "failed"),
    [({"status": 499}, 0), ({"status": 500}, 1), ({"status": 0}, 1), ({"aborted": True}, 1), ({"status": 404}, 0)],
)
def test_what_counts_as_failed(change, failed):
    telemetry = Telemetry()
    telemetry.observe(exchange(**change))
    assert telemetry.take(1).http[0].failures == failed


def test_probes_are_nobodys_traffic():
    telemetry = Telemetry()
    telemetry.observe(exchange(route=PROBE_ROUTE))
    assert len(telemetry.take(1).http) == 0


def test_connections_open_and_close():
    telemetry = Telemetry()
    first, second = tcp(), tcp(aborted=True)
    telemetry.opened(first)
    telemetry.opened(second)
    (series,) = telemetry.take(1).tcp
    assert (series.opened, series.closed, series.failed, series.open_connections) == (2, 0, 0, 2)
    (series,) = telemetry.take(1).tcp  # nothing happened, and they are open
    assert (series.opened, series.closed, series.open_connections) == (0, 0, 2)
    telemetry.observe(second)
    (series,) = telemetry.take(1).tcp
    assert (series.closed, series.failed, series.open_connections) == (1, 1, 1)
    assert (series.sent_bytes, series.received_bytes) == (10, 1000)
    telemetry.observe(first)
    (series,) = telemetry.take(1).tcp
    assert (series.closed, series.failed, series.open_connections) == (1, 0, 0)
    assert len(telemetry.take(1).tcp) == 0


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_totals_stay_right_when_there_are_too_many_series(protocol):
    telemetry = Telemetry()
    count = MAX_SERIES + 500
    for number in range(count):
        one = exchange(pod=f"pod-{number}") if protocol == "http" else tcp(pod=f"pod-{number}")
        if protocol == "tcp":
            telemetry.opened(one)
        telemetry.observe(one)
    report = telemetry.take(1)
    rows = report.http if protocol == "http" else report.tcp
    assert MAX_SERIES <= len(rows) <= MAX_SERIES + 1
    assert sum(row.requests if protocol == "http" else row.closed for row in rows) == count
    (crowd,) = [row for row in rows if not row.edge.peer_pod]
    assert (crowd.requests if protocol == "http" else crowd.opened) == 500
    assert crowd.edge.direction == pb.DIRECTION_OUTBOUND


def test_too_many_outcomes_keep_their_status():
    telemetry = Telemetry()
    for number in range(MAX_SERIES):
        telemetry.observe(exchange(pod=f"pod-{number}"))
    telemetry.observe(exchange(503, pod="late"))
    telemetry.observe(exchange(504, pod="late"))
    crowd = [row for row in telemetry.take(1).http if not row.edge.peer_pod]
    assert [(row.status, row.requests) for row in crowd] == [(503, 1), (504, 1)]
