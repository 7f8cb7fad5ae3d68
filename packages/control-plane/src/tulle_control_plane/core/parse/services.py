"""Services and EndpointSlices, as they arrive. Only TCP: other ports are not captured, so nobody asks for them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from tulle_plugin_api.config import ConfigError

from tulle_control_plane.core.addresses import canonical_ip
from tulle_control_plane.core.objects import EndpointSlice, Key, Service, ServicePort, SliceEndpoint, SlicePort
from tulle_control_plane.core.parse.shapes import Items, Port, Shape, many, read, read_metadata
from tulle_control_plane.core.parse.workloads import OPAQUE_PORTS

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
HEADLESS = "None"

_Protocol = Literal["TCP", "UDP", "SCTP"]


class _ServicePort(Shape, frozen=True):
    port: Port
    name: str | None = None
    protocol: _Protocol | None = None
    app_protocol: str | None = None
    target_port: Port | str | None = None


class _ServiceSpec(Shape, frozen=True):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    ports: Items = None


class _SlicePort(Shape, frozen=True):
    port: Port | None = None
    name: str | None = None
    protocol: _Protocol | None = None


class _Conditions(Shape, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _TargetRef(Shape, frozen=True):
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


class _Endpoint(Shape, frozen=True):
    addresses: list[str]
    conditions: _Conditions | None = None
    target_ref: _TargetRef | None = None
    zone: str | None = None


class _Slice(Shape, frozen=True):
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Items = None
    ports: Items = None


def parse_service(obj: dict[str, Any]) -> Service:
    """A Service. Raises ConfigError."""
    metadata = read_metadata(obj.get("metadata"))
    spec = read(_ServiceSpec, obj.get("spec"), "spec")
    ips = list(spec.cluster_ips or [])
    if spec.cluster_ip and spec.cluster_ip not in ips:
        ips.insert(0, spec.cluster_ip)
    external = spec.type == "ExternalName"
    ports = [
        ServicePort(port.port, port.name or "", port.app_protocol or "", port.target_port or port.port)
        for port in many(_ServicePort, spec.ports, "spec.ports")
        if (port.protocol or "TCP") == "TCP"
    ]
    numbers = [port.port for port in ports]
    for number in numbers:
        if numbers.count(number) > 1:
            raise ConfigError([f"spec.ports: port {number} is there twice; each port may be listed once"])
    return Service(
        namespace=metadata.namespace or "default",
        name=metadata.name,
        vips=() if external else tuple(canonical_ip(ip, "spec.clusterIPs") for ip in ips if ip and ip != HEADLESS),
        ports=tuple(ports),
        opaque_ports=metadata.ports(OPAQUE_PORTS),
        external_name=external,
    )


def parse_endpoint_slice(obj: dict[str, Any]) -> EndpointSlice:
    """An EndpointSlice. Raises ConfigError. Its Service is named by a label, as in Kubernetes."""
    metadata = read_metadata(obj.get("metadata"))
    shape = read(_Slice, {k: obj[k] for k in ("addressType", "endpoints", "ports") if k in obj}, "endpointslice")
    namespace = metadata.namespace or "default"
    ports = [
        SlicePort(port.port, port.name or "")
        for port in many(_SlicePort, shape.ports, "ports")
        if port.port is not None and (port.protocol or "TCP") == "TCP"
    ]
    endpoints = many(_Endpoint, shape.endpoints, "endpoints") if shape.address_type != "FQDN" else ()
    return EndpointSlice(
        namespace=namespace,
        name=metadata.name,
        service=(metadata.labels or {}).get(SERVICE_NAME_LABEL, ""),
        ports=tuple(ports),
        endpoints=tuple(_endpoint(e, namespace, f"endpoints[{i}]") for i, e in enumerate(endpoints) if e.addresses),
    )


def _endpoint(shape: _Endpoint, namespace: str, path: str) -> SliceEndpoint:
    conditions = shape.conditions or _Conditions()
    ready = conditions.ready is not False  # absent means ready (discovery.k8s.io/v1, EndpointConditions)
    return SliceEndpoint(
        # the addresses of one endpoint are interchangeable, and only the first is used, as kube-proxy does
        address=canonical_ip(shape.addresses[0], f"{path}.addresses[0]"),
        pod=_pod(shape.target_ref, namespace),
        ready=ready,
        serving=ready if conditions.serving is None else conditions.serving,
        terminating=bool(conditions.terminating),
        zone=shape.zone or "",
    )


def _pod(target: _TargetRef | None, namespace: str) -> Key | None:
    if target is None or target.kind != "Pod" or not target.name:
        return None
    return target.namespace or namespace, target.name
