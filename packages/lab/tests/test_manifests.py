"""Manifests: what is refused, with which words, and that a file is taken whole or not at all."""

import copy

import lab_samples as samples
import pytest
from tulle_lab.errors import Invalid
from tulle_lab.kinds.defaults import with_defaults
from tulle_lab.kinds.manifests import Source, read, validate
from tulle_lab.kinds.registry import EVENT, KINDS, REFUSED, by_any_name
from tulle_lab.kinds.schema import Inert, Struct

GOOD = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx:1.27}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {day: 2026-11-20}
---
"""


def refused(text, name="app.yaml"):
    with pytest.raises(Invalid) as caught:
        read([Source(name, text)])
    return caught.value.problems


def test_objects_come_in_the_order_of_their_making_and_get_a_namespace():
    objects = read([Source("app.yaml", GOOD)], "elsewhere")
    assert [(obj["kind"], obj["metadata"].get("namespace")) for obj in objects] == [
        ("Namespace", None),
        ("ConfigMap", "elsewhere"),
        ("Deployment", "shop"),
    ]
    assert objects[1]["data"] == {"day": "2026-11-20"}, "a date is text"


def test_a_list_is_unfolded_and_json_is_read():
    text = '{"kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]}'
    assert [obj["metadata"]["name"] for obj in read([Source("a.json", text)])] == ["a"]


def test_every_problem_of_every_file_is_told_at_once():
    bad = GOOD.replace("image:", "imagee:").replace("kind: ConfigMap", "kind: ConfigMapp")
    assert refused(bad) == [
        "app.yaml: Deployment web: spec.template.spec.containers[0].imagee: unknown field; did you mean 'image'?",
        "app.yaml: ConfigMapp settings: kind: unknown kind 'ConfigMapp'; did you mean 'ConfigMap'?",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", "not YAML"),
        ("just text", "expected an object"),
        ("- 1", "expected an object"),
        ("{", "not YAML"),
        ("kind: ConfigMap", "apiVersion: ConfigMap is v1 here, not None"),
        ("apiVersion: v1", "kind: required, and missing"),
        ("apiVersion: v1\nkind: ConfigMap", "metadata: required, and missing"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}", "metadata.name: required, and missing"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Upper}", "metadata.name: 'Upper' is not a DNS name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, name: b}", "the key 'name' is there twice"),
        ("apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}", "Deployment is apps/v1 here"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}", "the lab does not have Secret: the lab keeps no Secrets"),
        ("apiVersion: x/v1\nkind: Whatever\nmetadata: {name: a}", "unknown kind 'Whatever'; there are"),
    ],
)
def test_refusals(text, words):
    problems = refused(text)
    assert len(problems) == 1
    assert words in problems[0]


def test_the_same_object_twice():
    assert refused(GOOD + GOOD.replace("shop}\n---\napi", "other}\n---\napi")) == [
        "Deployment web: described twice; remove one of them",
        "ConfigMap settings: described twice; remove one of them",
    ]


def with_spec(**changes):
    found = samples.pod()
    found["spec"].update(changes)
    return found


def with_container(**changes):
    found = samples.pod()
    found["spec"]["containers"][0].update(changes)
    return found


HTTP = {"httpGet": {"port": "http"}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (with_spec(hostNetwork=True), "spec.hostNetwork: the lab does not do this: pods never share"),
        (with_spec(hostNetwork=False), None),
        (with_spec(containers=[]), "spec.containers: needs at least 1"),
        (with_spec(nodeSelector={"a": "b"}), None),
        (with_spec(restartPolicy="Sometimes"), "spec.restartPolicy: 'Sometimes' is not one of Always"),
        (with_spec(initContainers=[{"name": "app", "image": "x"}]), "'app' is there twice, counting init containers"),
        (with_container(image=None), "spec.containers[0]: needs an image (a program's name) or a command"),
        (with_container(restartPolicy="Always"), "spec.containers[0].restartPolicy: only an init container"),
        (with_container(readinessProbe=HTTP), "readinessProbe.httpGet.port: the container has no port 'http'"),
        (with_container(readinessProbe=HTTP, ports=[{"name": "http", "containerPort": 80}]), None),
        (with_container(readinessProbe={}), "readinessProbe: needs exactly one of httpGet, tcpSocket, exec, grpc"),
        (
            with_container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
            "livenessProbe.successThreshold: must be 1",
        ),
        (with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), "there is no volume 'v'; the pod has no"),
        (with_container(ports=[{"containerPort": 80, "hostPort": 80}]), "ports[0].hostPort: the lab does not do this"),
        (with_container(resources={"limits": {"cpu": 1}}), None),
        (with_container(securityContext={"privileged": False}), None),
        (with_container(securityContext={"privileged": True}), "securityContext.privileged: the lab does not do this"),
        (
            with_container(securityContext={"capabilities": {"add": ["NET_ADMN"]}}),
            "capabilities.add[0]: 'NET_ADMN' is not one of",
        ),
        (
            with_container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.podIP"}}}]),
            "fieldPath: 'spec.podIP' is not a field that the downward API has",
        ),
        (with_spec(initContainers=[{"name": "i", "image": "x", "readinessProbe": HTTP}]), "that ends has none"),
        (with_spec(volumes=[{"name": "v"}]), "spec.volumes[0]: needs exactly one of emptyDir, configMap"),
        (with_spec(volumes=[{"name": "v", "secret": {"secretName": "x"}}]), "secret: the lab does not do this"),
    ],
)
def test_pods(obj, expected):
    found = validate(obj)
    if expected is None:
        assert found == []
    else:
        assert len([problem for problem in found if expected in problem]) == 1, found


def changed(obj, path, value):
    new = copy.deepcopy(obj)
    *parents, last = path.split(".")
    inner = new
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return new


WEB, SERVICE = samples.deployment(), samples.service()


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (WEB, None),
        (changed(WEB, "spec.selector", {"matchLabels": {"app": "b"}}), "does not match spec.template.metadata.labels"),
        (changed(WEB, "spec.selector", {}), "spec.selector: empty"),
        (changed(WEB, "spec.template.spec.restartPolicy", "Never"), "a Deployment's pods have Always, not Never"),
        (changed(WEB, "spec.replicas", -1), "spec.replicas: -1 is out of range"),
        (
            changed(WEB, "spec.strategy", {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "maxSurge and maxUnavailable are both 0",
        ),
        (
            changed(WEB, "spec.strategy", {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            "not with type Recreate",
        ),
        (
            changed(WEB, "spec.template.spec.containers", [{"name": "a", "imag": "b"}]),
            "containers[0].imag: unknown field",
        ),
        (SERVICE, None),
        (changed(SERVICE, "spec.type", "NodePort"), "spec.type: 'NodePort' is not one of ClusterIP"),
        (changed(SERVICE, "spec.ports", []), "spec.ports: required, and missing"),
        (changed(SERVICE, "spec.ports", [{"port": 1}, {"port": 2, "name": "b"}]), "ports[0].name: required"),
        (changed(SERVICE, "spec.ports", [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]), "1/TCP is there twice"),
        (changed(SERVICE, "metadata.name", "a.b"), "metadata.name: 'a.b' is not a DNS label"),
    ],
)
def test_workloads_and_services(obj, expected):
    found = validate(obj)
    assert (found == []) if expected is None else any(expected in problem for problem in found), found


def test_routes_and_policies_are_known():
    objects = read(
        [
            Source(
                "r.yaml",
                """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app-b}
spec:
  parentRefs: [{group: "", kind: Service, name: app-b, port: 80}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: x, value: y}]}]
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}]
    backendRefs: [{name: app-b, port: 80, weight: 90}, {name: app-b2, port: 80, weight: 10}]
    timeouts: {request: 10s}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: app-b}
spec: {parentRefs: [{kind: Service, name: app-b}], rules: [{matches: [{method: {service: s, method: m}}]}]}
---
apiVersion: tulle.dev/v1alpha1
kind: MeshPolicy
metadata: {name: slow}
spec: {targetRef: {kind: Service, name: app-b}, type: timeout, config: {anything: [is, the, plugin's]}}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: "", kind: Service}]
""",
            )
        ]
    )
    assert [obj["kind"] for obj in objects] == ["HTTPRoute", "GRPCRoute", "ReferenceGrant", "MeshPolicy"]
    for obj in objects:
        assert validate(obj) == []
    objects[2]["spec"]["form"] = objects[2]["spec"].pop("from")
    unknown = "spec.form: unknown field; did you mean 'from'?"
    assert validate(objects[2]) == [unknown, "spec.from: required, and missing"]
    objects[0]["spec"]["rules"][0]["backendRef"] = []
    assert validate(objects[0]) == ["spec.rules[0].backendRef: unknown field; did you mean 'backendRefs'?"]


def test_what_is_stored_passes_the_checks_that_let_it_in():
    for obj in (samples.pod(), WEB, SERVICE):
        assert validate(with_defaults(obj)) == []


def test_defaults():
    pod = with_defaults(with_container(readinessProbe=HTTP, ports=[{"name": "http", "containerPort": 80}]))
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["spec"]["containers"][0]["ports"][0]["protocol"] == "TCP"
    probe = pod["spec"]["containers"][0]["readinessProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"], probe["httpGet"]["path"]) == (10, 3, "/")
    web = samples.deployment()
    del web["spec"]["replicas"]
    assert with_defaults(web)["spec"]["replicas"] == 1
    assert with_defaults(web)["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert "replicas" not in web["spec"], "the argument stays as it was"
    assert with_defaults(samples.service(ports=[{"port": 80}]))["spec"]["ports"][0]["targetPort"] == 80


@pytest.mark.parametrize("word", ["deploy", "deployments", "Deployment", "deployment", "deployment.apps"])
def test_kinds_by_any_name(word):
    assert by_any_name(word) is KINDS["Deployment"]


def test_events_have_a_name_and_unknown_kinds_a_suggestion():
    assert by_any_name("ev") is EVENT
    with pytest.raises(Exception, match="did you mean 'pods'"):
        by_any_name("podss")


def test_no_kind_is_both_there_and_refused():
    assert set(KINDS) & set(REFUSED) == set()


def inert(struct, path=""):
    for name, check in struct.fields.items():
        if isinstance(check, Inert):
            yield f"{path}{name}", check.why
        inner = getattr(check, "item", check)
        if isinstance(inner, Struct) and name not in ("metadata",):
            yield from inert(inner, f"{path}{name}.")


def test_every_field_without_effect_says_why_and_is_in_the_readme():
    from pathlib import Path

    readme = (Path(__file__).parents[1] / "README.md").read_text()
    found = {name.rpartition(".")[2]: why for kind in KINDS.values() for name, why in inert(kind.shape.struct)}
    assert len(found) > 20
    missing = [name for name in found if name != "status" and f"`{name}`" not in readme]
    assert missing == []
