"""The proxies' configurations say what the document says of them, and the tables of rows and subjects agree."""

import json

from bench import __main__ as program
from bench import run
from bench.names import TITLES, baseline
from bench.rows import ROWS
from bench.services import APP, BULK, MESHED, SERVICES
from bench.subjects import envoy, haproxy, manifests, nginx, tulle


def test_envoy_does_the_same_work():
    made = envoy.config(SERVICES, logs=True)
    json.dumps(made)
    text = json.dumps(made["static_resources"]["listeners"][0])
    for word in ("weighted_clusters", '"weight": 90', '"weight": 10', '"timeout": "15s"', "num_retries", "access_log"):
        assert word in text
    endpoints = {cluster["name"]: json.dumps(cluster) for cluster in made["static_resources"]["clusters"]}
    assert all(ip in endpoints["app"] for ip in APP.stable)
    assert APP.canary[0] in endpoints["app-canary"]
    assert "access_log" not in json.dumps(envoy.config(SERVICES, logs=False))


def test_every_service_has_a_listener_in_each_proxy():
    envoys = json.dumps(envoy.config(SERVICES, logs=True))
    texts = (envoys, haproxy.config(SERVICES), nginx.proxy_config(SERVICES, "/x"))
    for service in SERVICES:
        assert all(str(service.local) in text for text in texts)


def test_opaque_services_are_proxied_as_tcp():
    assert "mode tcp" in haproxy.config((BULK,))
    assert "mode http" not in haproxy.config((BULK,)).partition("listen")[2]
    assert "proxy_pass bulk;" in nginx.proxy_config((BULK,), "/x").partition("stream {")[2]


def test_shares_are_those_of_the_route():
    # nginx and HAProxy weigh servers: two at 90 and one at 20 are 90 to 10
    assert haproxy.config((APP,)).count("weight 90") == 2
    assert haproxy.config((APP,)).count("weight 20") == 1
    assert nginx.proxy_config((APP,), "/x").count("weight=20") == 1


def test_only_installed_policies_are_asked_for():
    kinds = [obj["spec"]["type"] for obj in manifests.manifests(SERVICES, {"timeout"}) if obj["kind"] == "MeshPolicy"]
    assert kinds == ["timeout"]
    assert "timeout" in manifests.POLICIES


def test_a_meshed_service_has_a_pod_with_a_sidecar():
    *_, pod = manifests.meshed(MESHED, "10.9.1.2")
    assert pod["spec"]["initContainers"][0]["name"] == "tulle-proxy"
    assert pod["status"]["podIP"] == "10.9.1.2"


def test_metrics_are_summed_by_direction():
    text = "\n".join((
        "# TYPE tulle_http_requests_total counter",
        'tulle_http_requests_total{direction="outbound",status="200"} 40',
        'tulle_http_requests_total{direction="outbound",status="503"} 2.0',
        'tulle_http_requests_total{direction="inbound",status="200"} 7',
        'tulle_http_request_duration_seconds_count{direction="outbound"} 9',
    ))
    assert tulle.requests_total(text, "outbound") == 42
    assert tulle.requests_total(text, "inbound") == 7
    assert tulle.requests_total("", "inbound") == 0


def test_every_round_begins_with_another_proxy():
    assert [run.order("abc", number)[0] for number in range(4)] == list("abca")
    assert all(sorted(run.order("abc", number)) == list("abc") for number in range(4))


def test_every_subject_of_a_row_exists_and_is_measured_with_its_baseline():
    for row in ROWS:
        for subjects in filter(None, (row.subjects, row.quick)):
            assert set(subjects) <= set(run.SUBJECTS)
            assert {baseline(name) for name in subjects} <= set(subjects), row.name
            assert set(row.needs) <= {earlier.name for earlier in ROWS[: ROWS.index(row)]}
    assert set(TITLES) == set(run.SUBJECTS)


def test_rows_bring_along_what_they_need():
    chosen = program.wanted(program.parse(["--rows", "half-load"]))
    assert [row.name for row, _ in chosen] == ["keepalive-16", "half-load"]


def test_a_quick_run_is_of_those_rows_that_have_quick_subjects():
    chosen = program.wanted(program.parse([]))
    assert [row.name for row, _ in chosen] == [
        "keepalive-1", "keepalive-16", "keepalive-16-differing", "new-connections", "get-1m"
    ]
    assert all({"tulle", "envoy"} <= set(subjects) for _, subjects in chosen)
