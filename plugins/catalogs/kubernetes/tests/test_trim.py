"""What is kept of objects, and that the rest cannot make a difference."""

from tulle_catalog_kubernetes.trim import trimmed

POD = {
    "metadata": {
        "name": "app-b-1", "namespace": "demo", "uid": "u", "resourceVersion": "5", "generateName": "app-b-",
        "labels": {"app": "app-b"}, "managedFields": [{"manager": "kubectl"}],
        "annotations": {"tulle.dev/opaque-ports": "25", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "app-b-7f", "controller": True}],
    },
    "spec": {
        "nodeName": "n", "serviceAccountName": "app-b", "volumes": [{"name": "v"}],
        "containers": [{
            "name": "app", "image": "x", "env": [{"name": "SECRET", "value": "s"}], "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 80, "scheme": "HTTP"}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["true"]}},
        }],
        "initContainers": [{"name": "tulle-proxy", "restartPolicy": "Always", "image": "y"}],
    },
    "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{}]},
}  # fmt: skip


def test_a_pod():
    assert trimmed("Pod", "v1", POD) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "app-b-1", "namespace": "demo", "uid": "u", "labels": {"app": "app-b"},
            "annotations": {"tulle.dev/opaque-ports": "25"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "app-b-7f", "controller": True}],
        },
        "spec": {
            "nodeName": "n", "serviceAccountName": "app-b",
            "containers": [{
                "name": "app", "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}},
            }],
            "initContainers": [{"name": "tulle-proxy", "restartPolicy": "Always"}],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
    }  # fmt: skip


def test_a_route_keeps_its_spec_and_not_its_status():
    spec = {"parentRefs": [{"kind": "Service", "name": "app-b"}], "rules": [{"anything": [1]}]}
    route = {"metadata": {"name": "r", "generation": 3}, "spec": spec, "status": {"parents": []}}
    kept = trimmed("HTTPRoute", "gateway.networking.k8s.io/v1", route)
    assert kept["spec"] == spec
    assert kept["metadata"]["generation"] == 3
    assert "status" not in kept


def test_a_slice_keeps_its_own_fields():
    ends = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}
    slice_ = {"metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "x"}}, **ends}
    kept = trimmed("EndpointSlice", "discovery.k8s.io/v1", slice_)
    assert {name: kept[name] for name in ends} == ends
    assert kept["metadata"]["labels"] == {"kubernetes.io/service-name": "x"}


def test_nulls_are_nothing():
    assert trimmed("Pod", "v1", {"metadata": {"name": "x", "annotations": None}, "spec": None, "status": None}) == {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}, "status": {},
    }  # fmt: skip
