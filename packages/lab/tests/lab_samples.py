"""Small valid objects for tests; each call gives a new one."""

import copy

POD_SPEC = {"containers": [{"name": "app", "image": "python"}]}


def pod(name="p", namespace="default", labels=None, spec=None, status=None, **metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}, "uid": f"uid-{name}", **metadata},
        "spec": copy.deepcopy(spec or POD_SPEC),
        **({"status": status} if status else {}),
    }


def ready_pod(name, ip, labels=None, *, ready=True, namespace="default", spec=None, **metadata):
    ips = [{"ip": one} for one in ip.split(",")]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "podIP": ips[0]["ip"], "podIPs": ips, "conditions": conditions}
    return pod(name, namespace, labels, spec, status, **metadata)


def service(name="web", ports=None, namespace="default", **spec):
    spec = {"selector": {"app": name}, "ports": ports or [{"port": 80, "protocol": "TCP", "targetPort": 8080}], **spec}
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def deployment(name="web", replicas=2, namespace="default", labels=None, **spec):
    labels = labels or {"app": name}
    template = {"metadata": {"labels": labels}, "spec": copy.deepcopy(POD_SPEC)}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def namespace(name="default", labels=None):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
