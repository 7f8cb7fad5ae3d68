"""Objects as they arrive: what is read, what is refused and in which words."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_control_plane.core.parse import Parser
from tulle_control_plane.core.ports import PortSet
from tulle_plugin_api.config import ConfigError


def problem_of(obj) -> str:
    with pytest.raises(ConfigError) as refused:
        Parser().parse(obj)
    return "; ".join(refused.value.problems)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o: o["spec"]["ports"][1].update(port=70000), "spec.ports[1].port: expected int <= 65535 (70000)"),
        (lambda o: o["spec"]["ports"][1].update(port="80"), "spec.ports[1].port: expected int, got str"),
        (lambda o: o["spec"]["ports"][1].update(port=True), "spec.ports[1].port: expected int, got bool"),
        (lambda o: o["spec"]["ports"][1].update(port=80), "port 80 is there twice"),
        (lambda o: o["spec"]["ports"][1].update(protocol="tcp"), "spec.ports[1].protocol: invalid enum value"),
        (lambda o: o["spec"]["ports"].append(None), "spec.ports[2]: expected object, got null"),
        (lambda o: o["spec"].update(clusterIPs=["app-b"]), "spec.clusterIPs: 'app-b' is no IP address"),
        (lambda o: o["spec"].update(type="Headless"), "spec.type: invalid enum value"),
        (lambda o: o["metadata"].update(name="App_B"), "metadata.name: 'App_B' is no name"),
        (lambda o: o["metadata"].update(name="x\ny"), "metadata.name: 'x\\ny' is no name"),
        (lambda o: o["metadata"].update(name="x" * 254), "is no name"),
        (lambda o: o["metadata"].update(labels={"a": 1}), "metadata.labels"),
        (lambda o: o["metadata"].update(namespace="a/b"), "metadata.namespace: 'a/b' is no name"),
        (lambda o: o["metadata"].update(annotations={"tulle.dev/opaque-ports": "80,x"}), "'x' is no port"),
        (lambda o: o["metadata"].update(annotations={"tulle.dev/opaque-ports": "90-80"}), "write 80-90"),
        (lambda o: o.pop("metadata"), "metadata: object missing required field name"),
        (lambda o: o.update(apiVersion="v2"), "apiVersion: Service is read as v1, got 'v2'"),
        (lambda o: o.update(kind="Servcie"), "v1 has no 'Servcie'; did you mean 'Service'?"),
        (lambda o: o.update(kind=None), "apiVersion and kind: missing"),
    ],
)
def test_bad_services_are_refused_with_the_field_and_the_remedy(make, change, problem):
    obj = copy.deepcopy(make.service(ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]))
    change(obj)
    assert problem in problem_of(obj)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o: o.update(addressType="IPX"), "addressType"),
        (lambda o: o.pop("addressType"), "missing required field addressType"),
        (lambda o: o["endpoints"][1].update(addresses="10.0.0.1"), "endpoints[1].addresses: expected array"),
        (
            lambda o: o["endpoints"][1].update(addresses=["10.0.0.256"]),
            "endpoints[1].addresses[0]: '10.0.0.256' is no IP",
        ),
        (lambda o: o["endpoints"][1].update(conditions={"ready": "yes"}), "endpoints[1].conditions.ready"),
        (lambda o: o["ports"][0].update(port=0), "ports[0].port: expected int >= 1"),
    ],
)
def test_bad_slices(make, change, problem):
    obj = make.slice(endpoints=[make.endpoint("10.244.0.1"), make.endpoint("10.244.0.2")])
    change(obj)
    assert problem in problem_of(obj)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o: o["spec"].pop("containers"), "spec: object missing required field containers"),
        (
            lambda o: o["spec"]["containers"].append({"image": "x"}),
            "spec.containers[1]: object missing required field name",
        ),
        (
            lambda o: o["spec"]["containers"][0].update(ports=[{"containerPort": 1}, {"containerPort": "http"}]),
            "spec.containers[0].ports[1].containerPort: expected int, got str",
        ),
        (lambda o: o["status"].update(podIPs=[{"ip": "x"}]), "status.podIPs: 'x' is no IP address"),
        (
            lambda o: o["metadata"].update(ownerReferences=[{"kind": "Job"}]),
            "metadata.ownerReferences[0]: object missing",
        ),
    ],
)
def test_bad_pods(make, change, problem):
    obj = make.pod("p", "10.244.0.1", ports=[80])
    change(obj)
    assert problem in problem_of(obj)


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "apps/v1", "kind": "Deployment"},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"},
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service"},
        {"apiVersion": "example.com/v1", "kind": "Servcie"},
    ],
)
def test_kinds_that_we_do_not_need_pass_in_silence(obj):
    assert Parser().parse({**obj, "metadata": {"name": "x"}}) is None


@pytest.mark.parametrize(
    ("version", "kind", "right"),
    [
        ("tulle.dev/v1alpha1", "MeshPolcy", "MeshPolicy"),
        ("discovery.k8s.io/v1", "EndpointSlices", "EndpointSlice"),
        ("gateway.networking.k8s.io/v1", "HttpRoute", "HTTPRoute"),
    ],
)
def test_slips_of_the_pen_are_told(version, kind, right):
    assert f"did you mean {right!r}?" in problem_of({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}})


def test_null_is_the_same_as_absent(make):
    bare = make.service(ports=[{"port": 80}])
    nulls = copy.deepcopy(bare)
    nulls["metadata"] |= {"labels": None, "annotations": None, "ownerReferences": None}
    nulls["spec"] |= {"type": None}
    nulls["spec"]["ports"][0] |= {"name": None, "protocol": None, "appProtocol": None, "targetPort": None}
    assert Parser().parse(nulls) == Parser().parse(bare)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    ("metadata",), ("spec",), ("status",), ("metadata", "name"), ("metadata", "labels"), ("metadata", "annotations"),
    ("metadata", "ownerReferences"), ("spec", "ports"), ("spec", "clusterIPs"), ("spec", "containers"),
    ("spec", "initContainers"), ("status", "podIPs"), ("endpoints",), ("ports",), ("spec", "parentRefs"),
    ("spec", "rules"), ("spec", "targetRef"), ("spec", "config"), ("spec", "type"), ("spec", "from"),
]  # fmt: skip


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_whatever_a_field_holds_it_is_read_or_refused(make, data):
    good = [
        make.service(), make.slice(endpoints=[make.endpoint("10.0.0.1", "p")]), make.pod("p", "10.0.0.1"),
        make.route(backends={"app-b:80": 1}), make.policy("p", "Service", "app-b"), make.grant("a", of="b"),
        make.namespace("n"),
    ]  # fmt: skip
    obj = copy.deepcopy(data.draw(st.sampled_from(good)))
    *way, last = data.draw(st.sampled_from(FIELDS))
    at = obj
    for step in way:
        at = at.setdefault(step, {})
    at[last] = data.draw(JSON)
    problems = ["none"]
    try:
        Parser().parse(obj)
    except ConfigError as refused:
        problems = refused.problems
    assert problems
    assert all(problems)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [("", [], [1, 80]), ("80", [80], [79, 81]), (" 25, 4190-4191 ,", [25, 4190, 4191], [26, 4189, 4192])],
)
def test_port_sets(text, inside, outside):
    ports = PortSet.parse(text)
    assert all(port in ports for port in inside)
    assert not any(port in ports for port in outside)


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "1-", "2-1", "1-2-3", "80 81", "٨٠", "999999"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(ValueError, match=r"no port|backwards"):
        PortSet.parse(text)
