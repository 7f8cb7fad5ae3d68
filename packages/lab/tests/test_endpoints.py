"""EndpointSlices: readiness, termination, named ports, families, lots of a hundred."""

import lab_samples as samples
import pytest
from tulle_lab.cluster.endpoints import slices, target_port
from tulle_lab.kinds.defaults import with_defaults
from tulle_lab.kinds.manifests import validate


def made(service, pods):
    return slices(with_defaults(service), pods)


def addresses(piece, condition="ready"):
    return [e["addresses"][0] for e in piece["endpoints"] if e["conditions"][condition]]


WEB = {"app": "web"}


def test_ready_pods_of_the_namespace_that_match():
    [piece] = made(
        samples.service(),
        [
            samples.ready_pod("a", "10.244.0.2", WEB),
            samples.ready_pod("b", "10.244.0.3", WEB, ready=False),
            samples.ready_pod("c", "10.244.0.4", {"app": "other"}),
            samples.ready_pod("d", "10.244.0.5", WEB, namespace="x"),
            samples.pod("e", labels=WEB),
            samples.ready_pod("f", "10.244.0.6", {**WEB, "more": "labels"}),
        ],
    )
    assert addresses(piece) == ["10.244.0.2", "10.244.0.6"]
    assert addresses(piece, "serving") == ["10.244.0.2", "10.244.0.6"]
    assert [e["addresses"][0] for e in piece["endpoints"]] == ["10.244.0.2", "10.244.0.3", "10.244.0.6"]
    assert piece["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert piece["endpoints"][0]["targetRef"]["uid"] == "uid-a"
    assert validate(piece) == []


def test_a_pod_that_terminates_is_not_ready_and_may_still_serve():
    going = {"deletionTimestamp": "1970-01-01T00:00:00Z"}
    [piece] = made(
        samples.service(),
        [
            samples.ready_pod("a", "10.244.0.2", WEB, **going),
            samples.ready_pod("b", "10.244.0.3", WEB, ready=False, **going),
        ],
    )
    assert [e["conditions"] for e in piece["endpoints"]] == [
        {"ready": False, "serving": True, "terminating": True},
        {"ready": False, "serving": False, "terminating": True},
    ]


def test_not_ready_addresses_can_be_published():
    [piece] = made(
        samples.service(publishNotReadyAddresses=True), [samples.ready_pod("a", "10.0.0.1", WEB, ready=False)]
    )
    assert addresses(piece) == ["10.0.0.1"]


def test_pods_that_ended_are_no_endpoints():
    pod = samples.ready_pod("a", "10.244.0.2", WEB)
    pod["status"]["phase"] = "Succeeded"
    assert made(samples.service(), [pod])[0]["endpoints"] == []


def test_both_families():
    pods = [samples.ready_pod("a", "10.244.0.2,fd00::2", WEB)]
    found = made(samples.service(ipFamilies=["IPv6", "IPv4"]), pods)
    assert [(p["addressType"], addresses(p), p["metadata"]["name"]) for p in found] == [
        ("IPv6", ["fd00::2"], "web-ipv6"),
        ("IPv4", ["10.244.0.2"], "web-ipv4"),
    ]


def container(port, name="http", protocol="TCP"):
    return {"name": "app", "image": "x", "ports": [{"name": name, "containerPort": port, "protocol": protocol}]}


def test_named_ports_mean_what_each_pod_says():
    named = samples.service(ports=[{"port": 80, "targetPort": "http", "appProtocol": "http"}])
    pods = [
        samples.ready_pod("a", "10.0.0.1", WEB, spec={"containers": [container(1111)]}),
        samples.ready_pod("b", "10.0.0.2", WEB, spec={"containers": [container(2222)]}),
        samples.ready_pod("c", "10.0.0.3", WEB, spec={"containers": [container(1111)]}),
    ]
    found = made(named, pods)
    assert [(p["ports"][0]["port"], addresses(p)) for p in found] == [
        (1111, ["10.0.0.1", "10.0.0.3"]),
        (2222, ["10.0.0.2"]),
    ]
    assert found[0]["ports"][0]["appProtocol"] == "http"
    assert len({p["metadata"]["name"] for p in found}) == 2


@pytest.mark.parametrize(
    ("port", "spec", "expected"),
    [
        ({"port": 80, "protocol": "TCP"}, {"containers": []}, 80),
        ({"port": 80, "targetPort": 81, "protocol": "TCP"}, {"containers": []}, 81),
        ({"port": 80, "targetPort": "http", "protocol": "TCP"}, {"containers": [container(1)]}, 1),
        ({"port": 80, "targetPort": "http", "protocol": "UDP"}, {"containers": [container(1)]}, None),
        ({"port": 80, "targetPort": "none", "protocol": "TCP"}, {"containers": [container(1)]}, None),
        (
            {"port": 80, "targetPort": "http", "protocol": "TCP"},
            {"containers": [], "initContainers": [{**container(7), "restartPolicy": "Always"}]},
            7,
        ),
        (
            {"port": 80, "targetPort": "http", "protocol": "TCP"},
            {"containers": [], "initContainers": [container(7)]},
            None,
        ),
    ],
)
def test_target_ports(port, spec, expected):
    assert target_port(port, {"spec": spec}) == expected


def test_lots_of_a_hundred():
    found = made(samples.service(), [samples.ready_pod(f"p{n:03}", f"10.244.1.{n}", WEB) for n in range(201)])
    assert [len(p["endpoints"]) for p in found] == [100, 100, 1]
    assert [p["metadata"]["name"] for p in found] == ["web-ipv4", "web-ipv4-1", "web-ipv4-2"]


def test_no_selector_no_slices_and_no_pods_an_empty_one():
    service = samples.service()
    assert made(service, [])[0]["endpoints"] == []
    del service["spec"]["selector"]
    assert made(service, [samples.ready_pod("a", "10.0.0.1", WEB)]) == []


def test_a_pods_zone_label_is_its_endpoints_zone():
    west = {**WEB, "topology.kubernetes.io/zone": "west"}
    [piece] = made(
        samples.service(), [samples.ready_pod("a", "10.244.0.2", west), samples.ready_pod("b", "10.244.0.3", WEB)]
    )
    assert [endpoint.get("zone") for endpoint in piece["endpoints"]] == ["west", None]
    assert validate(piece) == []


def test_host_names_below_a_headless_service():
    spec = {**samples.POD_SPEC, "hostname": "db-0", "subdomain": "web"}
    pods = [samples.ready_pod("a", "10.0.0.1", WEB, spec=spec), samples.ready_pod("b", "10.0.0.2", WEB)]
    [piece] = made(samples.service(clusterIP="None"), pods)
    assert [e.get("hostname") for e in piece["endpoints"]] == ["db-0", None]
    assert piece["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
