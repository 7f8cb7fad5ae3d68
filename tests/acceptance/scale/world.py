"""A large cluster on paper: 1,000 Services with 10 pods each, as Kubernetes objects of plain data.

Owns names and addresses. The same objects go into a folder of manifests, or through a real API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SERVICES, ENDPOINTS = 1000, 10
NAMESPACE = "scale"
PORT = 80
NOT_FOR_KUBE_PROXY = {"service.kubernetes.io/service-proxy-name": "none"}
"""A node of a real cluster would write 10,000 rules for them, on the processors that are measured."""
Object = dict[str, Any]


def namespace() -> Object:
    """Where all of it is."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def name(number: int) -> str:
    """Of a Service and what belongs to it."""
    return f"app-{number:04}"


def service(number: int, cluster_ip: str = "") -> Object:
    """`cluster_ip`: empty for one that the API server chooses."""
    spec: Object = {"ports": [{"name": "http", "port": PORT, "targetPort": 8080, "appProtocol": "http"}]}
    if cluster_ip:
        spec |= {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip]}
    return _named("v1", "Service", number) | {"spec": spec}


def cluster_ip(number: int) -> str:
    """Of a Service, where nobody else chooses."""
    return f"10.96.{4 + number // 250}.{1 + number % 250}"


def slice_of(number: int, ready: int = ENDPOINTS) -> Object:
    """The Service's EndpointSlice; of its endpoints the first `ready` are."""
    endpoints = [
        {
            "addresses": [pod_ip(number, each)],
            "conditions": {"ready": each < ready, "serving": each < ready, "terminating": False},
            "targetRef": {"kind": "Pod", "name": _pod(number, each), "namespace": NAMESPACE},
        }
        for each in range(ENDPOINTS)
    ]
    made = _named("discovery.k8s.io/v1", "EndpointSlice", number)
    made["metadata"]["labels"] |= {"kubernetes.io/service-name": name(number)}
    return made | {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }


def pods(number: int) -> Iterator[Object]:
    """The Service's pods, as they are once they run. Without a kubelet nobody can make them so in a real cluster."""
    for each in range(ENDPOINTS):
        made = _named("v1", "Pod", number)
        made["metadata"]["name"] = _pod(number, each)
        yield made | {
            "spec": {"serviceAccountName": "default", "nodeName": "node", "containers": [{"name": "app"}]},
            "status": {"phase": "Running", "podIP": pod_ip(number, each), "podIPs": [{"ip": pod_ip(number, each)}]},
        }


def pod_ip(number: int, each: int) -> str:
    """Of one endpoint."""
    return f"10.{128 + number // 250}.{number % 250}.{1 + each}"


def _pod(number: int, each: int) -> str:
    return f"{name(number)}-{each}"


def _named(version: str, kind: str, number: int) -> Object:
    labels = {"app": name(number), "version": "v1", **NOT_FOR_KUBE_PROXY}
    metadata = {"name": name(number), "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
