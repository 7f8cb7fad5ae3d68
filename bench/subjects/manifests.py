"""The mesh that Tulle's proxies are told of, as the manifests a user would write. Pure.

One Service each, a canary behind an HTTPRoute's weights, and policies for the whole namespace.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bench.services import CANARY_WEIGHT, RETRIES, STABLE_WEIGHT, TIMEOUT_SECONDS, Service

NAMESPACE = "bench"

Json = dict[str, Any]

POLICIES: dict[str, Json] = {
    "timeout": {"request": f"{TIMEOUT_SECONDS}s"},
    "retry": {"attempts": RETRIES},
}
"""What is asked for, of the policy types that are installed."""


def meshed(service: Service, ip: str) -> list[Json]:
    """A Service whose one endpoint is in a pod with a proxy of its own. For a file of its own: pods come and go."""
    *service_and_slice, pod = _service(service.name, service.vip, service, (ip,))
    sidecar = {"name": "tulle-proxy", "image": "tulle/proxy", "restartPolicy": "Always"}
    return [*service_and_slice, {**pod, "spec": {**pod["spec"], "initContainers": [sidecar]}}]


def manifests(services: tuple[Service, ...], installed: Collection[str]) -> list[Json]:
    """All objects. `installed`: policy types."""
    objects: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    for service in services:
        objects += _service(service.name, service.vip, service, service.stable)
        if service.canary:
            # its address is the Service's own, one further on
            vip = ".".join([*service.vip.split(".")[:3], str(int(service.vip.split(".")[3]) + 100)])
            objects += _service(f"{service.name}-canary", vip, service, service.canary)
            objects.append(_route(service))
    for kind, config in POLICIES.items():
        if kind in installed:
            objects.append({
                "apiVersion": "tulle.dev/v1alpha1",
                "kind": "MeshPolicy",
                "metadata": {"name": kind, "namespace": NAMESPACE},
                "spec": {"targetRef": {"kind": "Namespace", "name": NAMESPACE}, "type": kind, "config": config},
            })
    return objects


def _service(name: str, vip: str, service: Service, ips: tuple[str, ...]) -> list[Json]:
    port: Json = {"name": "tcp" if service.opaque else "http", "port": service.port, "targetPort": service.target}
    if service.opaque:
        port["appProtocol"] = "tcp"
    metadata = {"name": name, "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
         "spec": {"clusterIP": vip, "selector": {"app": name}, "ports": [port]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
         "ports": [{"name": port["name"], "port": service.target}],
         "endpoints": [
             {"addresses": [ip], "targetRef": {"kind": "Pod", "name": f"{name}-{number}", "namespace": NAMESPACE}}
             for number, ip in enumerate(ips)
         ]},
        *(_pod(f"{name}-{number}", name, ip, service) for number, ip in enumerate(ips)),
    ]


def _pod(name: str, app: str, ip: str, service: Service) -> Json:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": {"app": app, "pod-template-hash": "0"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-0", "uid": app,
                                 "controller": True}],
        },
        "spec": {"containers": [{"name": "app", "image": "backend", "ports": [{"containerPort": service.target}]}]},
        "status": {"podIP": ip, "podIPs": [{"ip": ip}], "phase": "Running"},
    }


def _route(service: Service) -> Json:
    shares = ((service.name, STABLE_WEIGHT), (f"{service.name}-canary", CANARY_WEIGHT))
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": service.name, "namespace": NAMESPACE},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": service.name, "port": service.port}],
            "rules": [{"backendRefs": [{"name": name, "port": service.port, "weight": weight}
                                       for name, weight in shares]}],
        },
    }
