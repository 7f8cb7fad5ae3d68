"""What a pod's proxy is told of its own ports."""

from tulle_control_plane.core.results import Protocol


def ports(w, pod="p", ns="default"):
    return {
        p.port: (p.service.authority.split(".svc.")[0] + ":" + str(p.service.port) if p.service else None, p.protocol)
        for p in w.inbound(pod, ns).ports
    }


def test_a_pod_that_nobody_knows_yet_has_no_ports(world):
    assert ports(world()) == {}


def test_services_lead_to_ports_before_the_pod_is_ready(world, make):
    w = world(
        make.pod("p", "10.244.0.1"),
        make.service(ports=[{"port": 80, "name": "web", "appProtocol": "http"}, {"port": 5000, "name": "tcp-x"}]),
        make.slice(
            endpoints=[make.endpoint("10.244.0.1", "p", ready=False)],
            ports=[{"name": "web", "port": 8080}, {"name": "tcp-x", "port": 5001}],
        ),
    )
    assert ports(w) == {
        8080: ("app-b.default:80", Protocol.HTTP1),
        5001: ("app-b.default:5000", Protocol.OPAQUE),
    }
    assert ports(w, "other") == {}


def test_headless_services_lead_to_ports_too(world, make):
    w = world(make.service(ip=()), make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]))
    assert ports(w) == {8080: ("app-b.default:80", Protocol.DETECT)}


def test_the_first_service_by_name_names_a_shared_port(world, make):
    w = world(
        *(
            obj
            for name in ("zeta", "alpha")
            for obj in (make.service(name, ip=()), make.slice(name, [make.endpoint("10.244.0.1", "p")]))
        )
    )
    assert ports(w) == {8080: ("alpha.default:80", Protocol.DETECT)}


def test_declared_ports_without_a_service(world, make):
    w = world(make.pod("p", ports=[{"containerPort": 9090, "name": "grpc"}, {"containerPort": 53, "protocol": "UDP"}]))
    assert ports(w) == {9090: (None, Protocol.HTTP2)}


def test_the_proxys_own_ports_are_not_the_apps(world, make):
    assert ports(world(make.pod("p", meshed=True))) == {}


def test_opaque_ports_of_pod_or_namespace(world, make):
    everything = [
        make.pod("p", ports=[8080, 9090]),
        make.namespace("default", **{"tulle.dev/opaque-ports": "9000-9100"}),
    ]
    w = world(*everything, make.service(), make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]))
    assert ports(w) == {8080: ("app-b.default:80", Protocol.DETECT), 9090: (None, Protocol.OPAQUE)}
    w.tell(make.pod("p", ports=[8080, 9090], annotations={"tulle.dev/opaque-ports": "8080"}))
    assert ports(w) == {8080: ("app-b.default:80", Protocol.OPAQUE), 9090: (None, Protocol.DETECT)}


def test_a_pod_is_told_its_own_labels_and_of_their_change(world, make):
    """Routes with `tulle.dev/from-labels` ask for them in its proxy."""
    from tulle_control_plane.core.snapshots import InboundKey

    w = world(make.pod("p", "10.244.0.1", labels={"team": "beta", "pod-template-hash": "77f"}))
    key = InboundKey("default", "p")
    assert w.snapshots.watch(key).result.labels == (("team", "beta"),)
    w.tell(make.pod("p", "10.244.0.1", labels={"team": "gamma", "pod-template-hash": "77f"}))
    ((_, snapshot),) = w.snapshots.refresh()
    assert snapshot.result.labels == (("team", "gamma"),)
