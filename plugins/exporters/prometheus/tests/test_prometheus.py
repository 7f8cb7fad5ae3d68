"""What is counted, as Prometheus's own parser reads it back."""

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tulle_exporter_prometheus import Prometheus
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load
from tulle_plugin_api.latency import LATENCY_BUCKETS

APP_B = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
REPLICA = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
OUTBOUND = {
    "direction": "outbound",
    "service": "app-b",
    "service_namespace": "default",
    "route": "default/app-b/0",
    "backend": "default/app-b:80",
    "peer_namespace": "default",
    "peer_workload": "deployment/app-b",
    "tls": "false",
}


def exchange(**changes):
    made = Exchange()
    made.service, made.endpoint = APP_B, REPLICA
    made.route, made.backend = "default/app-b/0", "default/app-b:80"
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.5
    made.request_bytes, made.response_bytes = 10, 1000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def exporter(**context):
    return Prometheus(ExporterContext(**context))


def read(exporter):
    """name -> {labels: value}, as the official parser sees the page."""
    samples = {}
    for family in text_string_to_metric_families(exporter.collect().decode()):
        for sample in family.samples:
            found = samples.setdefault(sample.name, {})
            key = tuple(sorted(sample.labels.items()))
            assert key not in found, f"{sample.name} twice with {key}"
            found[key] = sample.value
    return samples


def value(exporter, name, **labels):
    """The sum of a metric's samples that have these labels."""
    return sum(v for key, v in read(exporter)[name].items() if labels.items() <= dict(key).items())


def test_it_is_installed_under_its_name():
    assert load().exporters["prometheus"] is Prometheus


def test_requests_are_counted_by_where_they_went_and_how_they_ended():
    counting = exporter()
    for status in (200, 200, 503):
        counting.observe(exchange(status=status))
    requests = read(counting)["tulle_http_requests_total"]
    assert requests == {
        tuple(sorted({**OUTBOUND, "status": "200", "reason": ""}.items())): 2,
        tuple(sorted({**OUTBOUND, "status": "503", "reason": ""}.items())): 1,
    }


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"status": 504, "reason": "timeout"}, {"status": "504", "reason": "timeout"}),
        ({"aborted": True}, {"status": "200", "reason": "aborted"}),
        ({"status": 0, "reason": "client-gone"}, {"status": "0", "reason": "client-gone"}),
        ({"service": None, "endpoint": None, "route": "", "backend": ""}, {"service": "", "peer_workload": ""}),
        ({"secured": True}, {"tls": "true"}),
        ({"direction": "inbound"}, {"direction": "inbound", "peer_namespace": "", "peer_workload": ""}),
        (
            {"direction": "inbound", "source_identity": "spiffe://cluster.local/ns/shop/sa/cart"},
            {"peer_namespace": "shop", "peer_workload": "serviceaccount/cart"},
        ),
        ({"direction": "inbound", "source_identity": "spiffe://elsewhere/x"}, {"peer_namespace": ""}),
    ],
)
def test_labels(changes, labels):
    counting = exporter()
    counting.observe(exchange(**changes))
    assert value(counting, "tulle_http_requests_total", **labels) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 201},
        {"reason": "timeout"},
        {"aborted": True},
        {"direction": "inbound"},
        {"service": Service("app-c", "default", 80, "")},
        {"service": Service("app-b", "other", 80, "")},
        {"service": None},
        {"route": ""},
        {"backend": "default/app-c:80"},
        {"endpoint": Endpoint(REPLICA.address, "app-b-1", "default", "deployment/app-b2")},
        {"endpoint": Endpoint(REPLICA.address, "app-b-1", "other", "deployment/app-b")},
        {"endpoint": None},
        {"secured": True},
    ],
)
def test_what_differs_in_one_label_is_counted_apart(changes):
    counting = exporter()
    for one in (exchange(), exchange(**changes), exchange()):
        counting.observe(one)
    assert sorted(read(counting)["tulle_http_requests_total"].values()) == [1, 2]


def test_what_differs_only_in_the_pod_is_not():
    counting = exporter()
    other_pod = Endpoint(Address("10.0.0.2", 8080), "app-b-2", "default", "deployment/app-b")
    counting.observe(exchange())
    counting.observe(exchange(endpoint=other_pod))
    assert list(read(counting)["tulle_http_requests_total"].values()) == [2]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_identity": "spiffe://elsewhere/y"},
        {"endpoint": Endpoint(REPLICA.address, "app-b-1", "default", "deployment/app-b2")},
        {"aborted": True, "reason": "x"},
    ],
)
def test_what_differs_in_no_label_is_one_series(changes):
    # `read` fails on a series that is there twice, as Prometheus does, which would refuse the whole page
    counting = exporter()
    inbound = {"direction": "inbound", "source_identity": "spiffe://elsewhere/x", "reason": "x"}
    counting.observe(exchange(**inbound))
    counting.observe(exchange(**{**inbound, **changes}))
    assert list(read(counting)["tulle_http_requests_total"].values()) == [2]


def test_bytes_and_attempts_add_up():
    counting = exporter()
    counting.observe(exchange(attempts=3))
    counting.observe(exchange(status=500))
    assert value(counting, "tulle_http_attempts_total") == 4
    assert value(counting, "tulle_http_request_bytes_total") == 20
    assert value(counting, "tulle_http_response_bytes_total") == 2000


def test_durations_are_as_the_official_client_counts_them():
    durations = [0.0, 0.0001, 0.00011, 0.004, 0.5, 59.9, 60.0, 61.0, 3600.0]
    registry = CollectorRegistry()
    name = "tulle_http_request_duration_seconds"
    official = Histogram(name, "x", OUTBOUND, buckets=LATENCY_BUCKETS, registry=registry)
    counting = exporter()
    for seconds in durations:
        official.labels(**OUTBOUND).observe(seconds)
        counting.observe(exchange(started=0.0, ended=seconds))
    expected = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            expected.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = pytest.approx(sample.value)
    ours = read(counting)
    for suffix in ("_bucket", "_sum", "_count"):
        assert ours[name + suffix] == expected[name + suffix]


def test_a_clock_that_went_back_makes_no_counter_go_back():
    counting = exporter()
    counting.observe(exchange(ended=0.0))
    assert value(counting, "tulle_http_request_duration_seconds_sum") == 0


def test_a_connection_counts_while_it_is_open_and_after():
    counting, relayed = exporter(), exchange(protocol="tcp", status=0, request_bytes=0, response_bytes=0)
    counting.opened(relayed)
    relayed.request_bytes, relayed.response_bytes = 5, 7
    assert value(counting, "tulle_tcp_connections_open") == 1
    assert value(counting, "tulle_tcp_sent_bytes_total") == 5
    assert value(counting, "tulle_tcp_received_bytes_total") == 7
    relayed.response_bytes, relayed.reason = 70, "connection-reset"
    counting.observe(relayed)
    assert value(counting, "tulle_tcp_connections_open") == 0
    assert value(counting, "tulle_tcp_connections_opened_total") == 1
    assert value(counting, "tulle_tcp_connections_closed_total", reason="connection-reset") == 1
    assert value(counting, "tulle_tcp_sent_bytes_total") == 5
    assert value(counting, "tulle_tcp_received_bytes_total") == 70
    assert "tulle_http_requests_total" not in read(counting)


def test_a_connection_counts_where_it_was_opened_although_more_is_known_at_its_end():
    counting, relayed = exporter(), exchange(protocol="tcp", endpoint=None)
    counting.opened(relayed)
    relayed.endpoint = REPLICA
    counting.observe(relayed)
    assert set(read(counting)["tulle_tcp_connections_open"].values()) == {0}


def test_a_connection_that_nobody_answered_was_never_open():
    counting = exporter()
    counting.observe(exchange(protocol="tcp", reason="connect-refused"))
    assert value(counting, "tulle_tcp_connections_open") == 0
    assert value(counting, "tulle_tcp_connections_opened_total") == 0
    assert value(counting, "tulle_tcp_connections_closed_total", reason="connect-refused") == 1


def test_series_are_bounded_and_nothing_is_lost():
    counting = exporter(options={"max_series": "20"})
    for number in range(500):
        counting.observe(exchange(backend=f"default/app-{number}:80"))
        counting.opened(exchange(protocol="tcp", backend=f"default/app-{number}:80"))
    page = read(counting)
    assert len(page["tulle_http_requests_total"]) <= 20
    assert len(page["tulle_tcp_connections_open"]) <= 20
    assert value(counting, "tulle_http_requests_total") == 500
    assert value(counting, "tulle_tcp_connections_open") == 500
    kept = 500 - value(counting, "tulle_http_requests_total", backend="overflow")
    kept += 500 - value(counting, "tulle_tcp_connections_open", backend="overflow")
    assert value(counting, "tulle_exporter_prometheus_overflows_total") == 1000 - kept > 900


def test_known_series_go_on_counting_when_there_is_no_room_for_new_ones():
    counting = exporter(options={"max_series": "2"})
    counting.observe(exchange())
    counting.observe(exchange(status=404))
    counting.observe(exchange())
    assert value(counting, "tulle_http_requests_total", status="200") == 2
    assert value(counting, "tulle_http_requests_total", status="overflow") == 1


def test_names_from_outside_cannot_forge_a_line():
    evil = 'a"} 1\ntulle_http_requests_total{status="200",x="\\'
    counting = exporter()
    counting.observe(exchange(route=evil))
    assert value(counting, "tulle_http_requests_total", route=evil) == 1
    assert value(counting, "tulle_http_requests_total") == 1


def test_the_proxys_own_counters():
    own = {
        "tulle_proxy_accepted_total": 7,
        'tulle_proxy_streams{direction="inbound"}': 2.5,
        'tulle_proxy_streams{direction="outbound"}': 1,
        "not a name": 1,
        'tulle_proxy_bad{x="\n"}': 1,
    }
    counting = exporter(counters=lambda: own, version="0.1.0", workload="deployment/app-a", node="n1")
    assert value(counting, "tulle_proxy_accepted_total") == 7
    assert value(counting, "tulle_proxy_streams", direction="inbound") == 2.5
    assert value(counting, "tulle_proxy_streams") == 3.5
    assert value(counting, "tulle_proxy_info", version="0.1.0", workload="deployment/app-a", node="n1") == 1
    assert not [name for name in read(counting) if "bad" in name or "not" in name]


def test_process_metrics():
    page = read(exporter())
    assert page["process_resident_memory_bytes"][()] > 1 << 20
    assert page["process_open_fds"][()] >= 3
    assert page["process_cpu_seconds_total"][()] > 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_series": "many"}, "max_series: expected a whole number from 1, such as 1000, got 'many'"),
        ({"max_series": "0"}, "max_series"),
        ({"buckets": "1,2"}, "unknown option 'buckets'; known options: max_series"),
    ],
)
def test_bad_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        exporter(options=options)
