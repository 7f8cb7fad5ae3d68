"""Builders of Kubernetes objects, and a core with its results at hand."""

from typing import Any

import msgspec
import pytest
from tulle_control_plane.control_plane import directions_of
from tulle_control_plane.core.parse import Parser, PluginsAtHand
from tulle_control_plane.core.results import Destination, Inbound
from tulle_control_plane.core.snapshots import DestinationKey, InboundKey, Snapshots
from tulle_plugin_api.loader import Plugins
from tulle_plugin_api.protocols import Config, Deleted, Policy, Synced, Upserted


class NumberConfig(Config):
    n: int = 0


class AnyPolicy(Policy[NumberConfig]):
    config = NumberConfig

    def __init__(self, direction: str) -> None:
        self.direction = direction  # type: ignore[misc]

    def build(self, config, next, runtime):
        return next


class SendingPolicy(AnyPolicy):
    """Sends to the Service "shadow", port n; 0: its author made a mistake."""

    def backends(self, config):
        return [("shadow", 80 // config.n * config.n)]


POLICIES = {
    "timeout": AnyPolicy("outbound"), "authorization": AnyPolicy("inbound"), "fault": AnyPolicy("both"),
    "mirror": SendingPolicy("outbound"),
}
BALANCERS = {name: lambda config, runtime: object() for name in ("round-robin", "random")}


class Make:
    """Objects as the API server would give them; what a test does not care about has a sensible value."""

    @staticmethod
    def namespace(name: str, **annotations: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}

    @staticmethod
    def service(name="app-b", ip="10.96.0.7", ports=(80,), ns="default", annotations=None, **spec) -> dict[str, Any]:
        listed = [p if isinstance(p, dict) else {"port": p, "targetPort": 8080} for p in ports]
        ips = [ip] if isinstance(ip, str) else list(ip)
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": ns, "annotations": annotations or {}},
            "spec": {"clusterIP": ips[0] if ips else "None", "clusterIPs": ips, "ports": listed, **spec},
        }

    @staticmethod
    def slice(service="app-b", endpoints=(), ports=(8080,), ns="default", name=None, family="IPv4") -> dict[str, Any]:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name or f"{service}-1",
                "namespace": ns,
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": family,
            "ports": [p if isinstance(p, dict) else {"port": p, "name": "", "protocol": "TCP"} for p in ports],
            "endpoints": list(endpoints),
        }

    @staticmethod
    def endpoint(ip: str, pod: str | None = None, ns: str | None = None, zone=None, **conditions) -> dict[str, Any]:
        found: dict[str, Any] = {"addresses": [ip], "conditions": conditions}
        if pod:
            found["targetRef"] = {"kind": "Pod", "name": pod, **({"namespace": ns} if ns else {})}
        if zone:
            found["zone"] = zone
        return found

    @staticmethod
    def pod(name, ip=None, ns="default", owner=None, labels=None, meshed=False, ports=(), phase="Running", **meta):
        metadata: dict[str, Any] = {"name": name, "namespace": ns, "labels": labels or {}, **meta}
        if owner:
            kind, _, owner_name = owner.partition("/")
            metadata["ownerReferences"] = [{"kind": kind, "name": owner_name, "controller": True}]
        listed = [p if isinstance(p, dict) else {"containerPort": p} for p in ports]
        sidecars = [{"name": "tulle-proxy", "ports": [{"containerPort": 4191}]}] if meshed else []
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"initContainers": sidecars, "containers": [{"name": "app", "ports": listed}]},
            "status": {"phase": phase, **({"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {})},
        }

    @staticmethod
    def route(
        name="app-b", parent="app-b", backends=None, ns="default", parent_ns=None, port=None, created=None, rules=None
    ):
        """`backends`: {"service:port" or "ns/service:port": weight}; `rules` instead where one rule is not enough."""
        reference = {"group": "", "kind": "Service", "name": parent}
        if parent_ns:
            reference["namespace"] = parent_ns
        if port:
            reference["port"] = port
        if rules is None:
            rules = [{"backendRefs": [Make.backend(text, weight) for text, weight in (backends or {}).items()]}]
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": ns, "creationTimestamp": created},
            "spec": {"parentRefs": [reference], "rules": rules},
        }

    @staticmethod
    def backend(text: str, weight: int | None = None) -> dict[str, Any]:
        where, _, port = text.rpartition(":")
        ns, _, name = where.rpartition("/")
        return {
            "name": name,
            "port": int(port),
            **({"namespace": ns} if ns else {}),
            **({"weight": weight} if weight is not None else {}),
        }

    @staticmethod
    def grant(ns: str, of: str, to: str | None = None, name="grant") -> dict[str, Any]:
        return {
            "apiVersion": "gateway.networking.k8s.io/v1beta1",
            "kind": "ReferenceGrant",
            "metadata": {"name": name, "namespace": ns},
            "spec": {
                "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": of}],
                "to": [{"group": "", "kind": "Service", **({"name": to} if to else {})}],
            },
        }

    @staticmethod
    def policy(name, kind, target=None, type="timeout", config=None, ns="default", created=None, section=None):
        reference = {
            "kind": kind,
            **({"name": target} if target else {}),
            **({"sectionName": section} if section else {}),
        }
        return {
            "apiVersion": "tulle.dev/v1alpha1",
            "kind": "MeshPolicy",
            "metadata": {"name": name, "namespace": ns, "creationTimestamp": created},
            "spec": {"targetRef": reference, "type": type, "config": config if config is not None else {"n": 1}},
        }


class World:
    """A core that was told some objects, and what it answers."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.snapshots = Snapshots(
            parser=Parser(PluginsAtHand(POLICIES, BALANCERS)),
            directions=directions_of(Plugins(policies=POLICIES)),
        )
        self.tell(*objects)
        self.snapshots.apply(Synced())

    def tell(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            # through JSON, so that no test depends on objects that only Python can make
            self.snapshots.apply(Upserted(msgspec.json.decode(msgspec.json.encode(obj))))

    def delete(self, kind: str, name: str, ns: str = "default") -> None:
        self.snapshots.apply(Deleted(kind, "" if kind == "Namespace" else ns, name))

    def destination(self, address="10.96.0.7:80", client="default") -> Destination:
        """Computed afresh, as nobody watches."""
        key = DestinationKey(client, address)
        result = self.snapshots.watch(key).result
        self.snapshots.release(key)
        assert isinstance(result, Destination)
        return result

    def inbound(self, pod: str, ns="default") -> Inbound:
        key = InboundKey(ns, pod)
        result = self.snapshots.watch(key).result
        self.snapshots.release(key)
        assert isinstance(result, Inbound)
        return result

    def addresses(self, address="10.96.0.7:80", client="default") -> list[str]:
        """The endpoints of the Service's own backend."""
        return [f"{e.address}:{e.port}" for e in self.destination(address, client).backends[0].endpoints]

    @property
    def rejected(self) -> dict[str, str]:
        return self.snapshots.rejected


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World
