"""From Services, EndpointSlices and Pods to a destination: addresses, protocols, endpoints."""

import pytest
from tulle_control_plane.core.addresses import parse_destination
from tulle_control_plane.core.results import Protocol


@pytest.mark.parametrize(
    ("text", "dialled"),
    [
        ("10.96.0.7:80", ("10.96.0.7", 80)),
        ("[fd00::7]:80", ("fd00::7", 80)),
        ("[FD00:0:0::0007]:65535", ("fd00::7", 65535)),
        ("[::ffff:10.96.0.7]:80", ("10.96.0.7", 80)),
        ("fd00::7:80", None),
        ("10.96.0.7", None),
        ("10.96.0.7:0", None),
        ("10.96.0.7:65536", None),
        ("10.96.0.7:٨٠", None),
        ("010.96.0.7:80", None),
        ("[10.96.0.7]:80", None),
        ("[fe80::1%eth0]:80", None),
        ("app-b:80", None),
        ("", None),
        (":80", None),
    ],
)
def test_destinations_have_one_form(text, dialled):
    assert parse_destination(text) == dialled


def test_a_service_by_each_of_its_addresses(world, make):
    w = world(make.service(ip=("10.96.0.7", "fd00::7")), make.slice(endpoints=[make.endpoint("10.244.0.1")]))
    for address in ("10.96.0.7:80", "[fd00::7]:80", "[::ffff:10.96.0.7]:80"):
        found = w.destination(address)
        assert found.known
        assert found.address == address  # as subscribed
        assert found.service.authority == "app-b.default.svc.cluster.local:80"
        assert [e.address for e in found.backends[0].endpoints] == ["10.244.0.1"]


@pytest.mark.parametrize("address", ["10.96.0.8:80", "10.96.0.7:81", "10.244.0.1:8080", "nonsense"])
def test_whom_nobody_knows_passes_through(world, make, address):
    w = world(make.service(), make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]), make.pod("p", "10.244.0.1"))
    found = w.destination(address)
    assert (found.known, found.backends, found.service) == (False, (), None)


def test_headless_and_external_services_are_dialled_by_pod_address(world, make):
    w = world(make.service(ip=()), make.slice(endpoints=[make.endpoint("10.244.0.1")]))
    assert not w.destination("10.244.0.1:8080").known
    assert not w.rejected
    w.tell(make.service("ext", ip=(), type="ExternalName", externalName="example.com"))
    assert not w.rejected


def test_udp_ports_are_not_ours(world, make):
    w = world(make.service(ports=[{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 80, "name": "http"}]))
    assert not w.destination("10.96.0.7:53").known
    assert w.destination("10.96.0.7:80").known


# --- protocol ---------------------------------------------------------------------------------------------

SERVICE, NAMESPACE = "tulle.dev/opaque-ports", "tulle.dev/opaque-ports"


@pytest.mark.parametrize(
    ("port", "annotations", "namespace", "protocol"),
    [
        ({"port": 80}, {}, {}, Protocol.DETECT),
        ({"port": 80, "name": "http"}, {}, {}, Protocol.DETECT),
        ({"port": 80, "name": "http-web"}, {}, {}, Protocol.DETECT),
        ({"port": 80, "name": "grpc"}, {}, {}, Protocol.HTTP2),
        ({"port": 80, "name": "grpc-api"}, {}, {}, Protocol.HTTP2),
        ({"port": 80, "name": "grpc-web"}, {}, {}, Protocol.DETECT),
        ({"port": 80, "name": "tcp-thing"}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "name": "mysql"}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "appProtocol": "http"}, {}, {}, Protocol.HTTP1),
        ({"port": 80, "appProtocol": "HTTP"}, {}, {}, Protocol.HTTP1),
        ({"port": 80, "appProtocol": "kubernetes.io/h2c"}, {}, {}, Protocol.HTTP2),
        ({"port": 80, "appProtocol": "kubernetes.io/ws"}, {}, {}, Protocol.HTTP1),
        ({"port": 80, "appProtocol": "https"}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "appProtocol": "tcp"}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "appProtocol": "tulle.dev/opaque"}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "appProtocol": "example.com/own"}, {}, {}, Protocol.DETECT),
        # the explicit beats the name, and what the port usually is
        ({"port": 5432, "appProtocol": "http", "name": "tcp"}, {}, {}, Protocol.HTTP1),
        ({"port": 5432}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "targetPort": 6379}, {}, {}, Protocol.OPAQUE),
        ({"port": 80, "targetPort": "redis-port"}, {}, {}, Protocol.DETECT),
        # annotations: the Service's own, else the Namespace's; an empty one switches the usual list off
        ({"port": 80, "appProtocol": "http"}, {SERVICE: "79-81"}, {}, Protocol.OPAQUE),
        ({"port": 80}, {}, {NAMESPACE: "80"}, Protocol.OPAQUE),
        ({"port": 80}, {SERVICE: "81"}, {NAMESPACE: "80"}, Protocol.DETECT),
        ({"port": 5432}, {SERVICE: ""}, {}, Protocol.DETECT),
    ],
)
def test_protocol(world, make, port, annotations, namespace, protocol):
    w = world(make.service(ports=[port], annotations=annotations), make.namespace("default", **namespace))
    assert not w.rejected
    assert w.destination(f"10.96.0.7:{port['port']}").protocol is protocol


# --- endpoints --------------------------------------------------------------------------------------------


def test_endpoints_of_several_slices_once_and_in_order(world, make):
    w = world(
        make.service(),
        make.slice(name="z", endpoints=[make.endpoint("10.244.0.9"), make.endpoint("10.244.0.1")]),
        make.slice(name="a", endpoints=[make.endpoint("10.244.0.1"), make.endpoint("10.244.0.5")]),
        make.slice("other", endpoints=[make.endpoint("10.244.7.7")]),
    )
    assert w.addresses() == ["10.244.0.1:8080", "10.244.0.5:8080", "10.244.0.9:8080"]


def test_named_ports_lead_to_their_numbers(world, make):
    w = world(
        make.service(ports=[{"port": 80, "name": "http", "targetPort": "web"}, {"port": 9000, "name": "admin"}]),
        make.slice(
            name="old",
            endpoints=[make.endpoint("10.244.0.1")],
            ports=[{"name": "http", "port": 8080}, {"name": "admin", "port": 9001}],
        ),
        make.slice(name="new", endpoints=[make.endpoint("10.244.0.2")], ports=[{"name": "http", "port": 3000}]),
    )
    assert w.addresses("10.96.0.7:80") == ["10.244.0.1:8080", "10.244.0.2:3000"]
    assert w.addresses("10.96.0.7:9000") == ["10.244.0.1:9001"]


def test_conditions(world, make):
    e = make.endpoint
    ready = [e("10.244.0.1"), e("10.244.0.2", ready=True), e("10.244.0.3", ready=None)]
    leaving = [e("10.244.0.4", ready=False, serving=True, terminating=True)]
    not_yet = [e("10.244.0.5", ready=False), e("10.244.0.6", ready=False, serving=False, terminating=True)]
    w = world(make.service(), make.slice(endpoints=[*ready, *leaving, *not_yet]))
    assert w.addresses() == ["10.244.0.1:8080", "10.244.0.2:8080", "10.244.0.3:8080"]
    w.tell(make.slice(endpoints=[*leaving, *not_yet]))
    assert w.addresses() == ["10.244.0.4:8080"]  # better than nobody
    w.tell(make.slice(endpoints=not_yet))
    assert w.addresses() == []
    assert w.destination().known  # nobody is ready, which is not the same as unknown
    assert w.destination().backends[0].resolved


def test_endpoints_carry_what_routing_and_telemetry_need(world, make):
    w = world(
        make.service(),
        make.slice(
            endpoints=[make.endpoint("10.244.0.1", "app-b-77f-x", zone="z1"), make.endpoint("10.244.0.2", "gone")]
        ),
        make.pod(
            "app-b-77f-x",
            "10.244.0.1",
            owner="ReplicaSet/app-b-77f",
            labels={"version": "v1", "app": "b", "pod-template-hash": "77f"},
            meshed=True,
        ),
    )
    first, second = w.destination().backends[0].endpoints
    assert (first.pod, first.namespace, first.workload, first.zone) == (
        "app-b-77f-x",
        "default",
        "deployment/app-b",
        "z1",
    )
    assert first.labels == (("app", "b"), ("version", "v1"))
    assert first.meshed
    assert (second.pod, second.workload, second.meshed) == ("gone", "", False)


@pytest.mark.parametrize(
    ("pod", "namespace", "meshed"),
    [
        ({}, {}, True),
        ({"tulle.dev/skip-inbound-ports": "8080"}, {}, False),
        ({"tulle.dev/skip-inbound-ports": "9000"}, {}, True),
        ({}, {"tulle.dev/skip-inbound-ports": "8000-9000"}, False),
        ({"tulle.dev/skip-inbound-ports": ""}, {"tulle.dev/skip-inbound-ports": "8080"}, True),
    ],
)
def test_a_port_that_the_proxy_does_not_capture_is_not_meshed(world, make, pod, namespace, meshed):
    w = world(
        make.service(),
        make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]),
        make.pod("p", "10.244.0.1", meshed=True, annotations=pod),
        make.namespace("default", **namespace),
    )
    assert w.destination().backends[0].endpoints[0].meshed is meshed


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        (None, {}, "pod/p"),
        ("ReplicaSet/web-5d", {"pod-template-hash": "5d"}, "deployment/web"),
        ("ReplicaSet/web-5d", {}, "replicaset/web-5d"),
        ("Deployment/web", {}, "deployment/web"),
        ("StatefulSet/db", {}, "statefulset/db"),
        ("DaemonSet/agent", {}, "daemonset/agent"),
        ("Job/once", {}, "job/once"),
    ],
)
def test_workload(world, make, owner, labels, workload):
    w = world(
        make.service(),
        make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]),
        make.pod("p", owner=owner, labels=labels),
    )
    assert w.destination().backends[0].endpoints[0].workload == workload
