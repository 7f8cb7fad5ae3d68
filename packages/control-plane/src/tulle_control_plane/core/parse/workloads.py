"""Namespaces and Pods, as they arrive.

Owns how a pod's workload is told from its owners, and when a pod is meshed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tulle_control_plane.core.addresses import canonical_ip
from tulle_control_plane.core.objects import ContainerPort, Namespace, Pod
from tulle_control_plane.core.parse.shapes import Items, Metadata, Owner, Port, Shape, many, read, read_metadata

PROXY_CONTAINER = "tulle-proxy"
OPAQUE_PORTS = "tulle.dev/opaque-ports"
SKIP_INBOUND_PORTS = "tulle.dev/skip-inbound-ports"

# differ from rollout to rollout and would make every one look like a change of routing
_ROLLOUT_LABELS = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation"})


class _ContainerPort(Shape, frozen=True):
    container_port: Port
    name: str | None = None
    protocol: str | None = None


class _HttpGet(Shape, frozen=True):
    port: int | str
    path: str | None = None


class _Probe(Shape, frozen=True):
    http_get: _HttpGet | None = None


class _Container(Shape, frozen=True):
    name: str
    ports: Items = None
    readiness_probe: _Probe | None = None
    liveness_probe: _Probe | None = None
    startup_probe: _Probe | None = None


class _PodSpec(Shape, frozen=True):
    containers: list[Any]
    init_containers: Items = None


class _PodIP(Shape, frozen=True):
    ip: str


class _PodStatus(Shape, frozen=True):
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    pod_ips: Items = msgspec.field(name="podIPs", default=None)
    phase: str | None = None


def parse_namespace(obj: dict[str, Any]) -> Namespace:
    """A Namespace. Raises ConfigError."""
    metadata = read_metadata(obj.get("metadata"))
    return Namespace(metadata.name, metadata.ports(OPAQUE_PORTS), metadata.ports(SKIP_INBOUND_PORTS))


def parse_pod(obj: dict[str, Any]) -> Pod:
    """A Pod. Raises ConfigError."""
    metadata = read_metadata(obj.get("metadata"))
    spec = read(_PodSpec, obj.get("spec"), "spec")
    status = read(_PodStatus, obj.get("status"), "status")
    containers = many(_Container, spec.containers, "spec.containers")
    sidecars = many(_Container, spec.init_containers, "spec.initContainers")
    ports = [
        ContainerPort(port.container_port, port.name or "")
        for index, container in enumerate(containers)
        if container.name != PROXY_CONTAINER
        for port in many(_ContainerPort, container.ports, f"spec.containers[{index}].ports")
        if (port.protocol or "TCP") == "TCP"
    ]
    ips = [item.ip for item in many(_PodIP, status.pod_ips, "status.podIPs")]
    if status.pod_ip and status.pod_ip not in ips:
        ips.insert(0, status.pod_ip)
    return Pod(
        namespace=metadata.namespace or "default",
        name=metadata.name,
        workload=workload_of(metadata),
        labels=metadata.sorted_labels(without=_ROLLOUT_LABELS),
        meshed=any(container.name == PROXY_CONTAINER for container in (*containers, *sidecars)),
        ports=tuple(sorted(set(ports), key=lambda port: (port.port, port.name))),
        probes=tuple(sorted(_probes(containers, {port.name: port.port for port in ports}))),
        ips=tuple(canonical_ip(ip, "status.podIPs") for ip in ips),
        opaque_ports=metadata.ports(OPAQUE_PORTS),
        skip_inbound=metadata.ports(SKIP_INBOUND_PORTS),
        finished=status.phase in ("Succeeded", "Failed"),
    )


def _probes(containers: Iterable[_Container], named: dict[str, int]) -> set[tuple[int, str]]:
    """Port and path of the HTTP probes of the app's containers; the proxy's own go to its admin port."""
    found = set()
    for container in containers:
        for probe in (container.readiness_probe, container.liveness_probe, container.startup_probe):
            if container.name != PROXY_CONTAINER and probe is not None and probe.http_get is not None:
                port = probe.http_get.port
                number = port if isinstance(port, int) else named.get(port, 0)
                found.add((number, (probe.http_get.path or "/").partition("?")[0]))
    return found


def workload_of(metadata: Metadata) -> str:
    """What a pod belongs to, as "kind/name": "deployment/app-b", and "pod/NAME" for one that nothing owns.

    A ReplicaSet that carries the pod's template hash in its name is a Deployment's (the hash is how Kubernetes names
    it); fine for telemetry's names; identity never rests on it.
    """
    owners = many(Owner, metadata.owner_references, "metadata.ownerReferences")
    owner = next((o for o in owners if o.controller), owners[0] if owners else None)
    if owner is None:
        return f"pod/{metadata.name}"
    suffix = "-" + (metadata.labels or {}).get("pod-template-hash", "")
    if owner.kind == "ReplicaSet" and len(suffix) > 1 and owner.name.endswith(suffix):
        return f"deployment/{owner.name.removesuffix(suffix)}"
    return f"{owner.kind.lower()}/{owner.name}"
