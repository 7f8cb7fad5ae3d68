"""Reading the store, and remembering what was read.

Owns the pairing of each look-up with the topic that a change would touch. What is computed through a Reader thus
says by itself what it depends on; nobody has to keep a second list of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tulle_control_plane.core.objects import (
    EndpointSlice,
    GRPCRoute,
    HTTPRoute,
    Key,
    MeshPolicy,
    Namespace,
    Pod,
    ReferenceGrant,
    Service,
    Target,
)
from tulle_control_plane.core.store import Store, Topic


@dataclass(frozen=True)
class Reader:
    """Look-ups of one computation; `topics` is what it depends on."""

    store: Store
    topics: set[Topic] = field(default_factory=set)

    def service_at(self, ip: str) -> Service | None:
        """The Service with that address."""
        self.topics.add(("vip", ip))
        return self.store.service_at(ip)

    def service(self, key: Key) -> Service | None:
        """That Service."""
        self.topics.add(("service", *key))
        return self.store.get(Service, key)

    def slices(self, service: Key) -> list[EndpointSlice]:
        """The Service's slices."""
        self.topics.add(("endpoints", *service))
        return self.store.slices(service)

    def pod_of(self, pod: Key) -> Pod | None:
        """A pod found in a slice: its changes touch the slice's Service, whose topic was noted with the slice."""
        return self.store.get(Pod, pod)

    def pod(self, key: Key) -> Pod | None:
        """That pod."""
        self.topics.add(("pod", *key))
        return self.store.get(Pod, key)

    def services_of(self, pod: Key) -> list[Key]:
        """The Services whose slices hold that pod."""
        self.topics.add(("pod", *pod))
        return self.store.services_of(pod)

    def namespace(self, name: str) -> Namespace:
        """That Namespace; one without annotations where there is none."""
        self.topics.add(("namespace", name))
        return self.store.get(Namespace, ("", name)) or Namespace(name)

    def routes_to(self, service: Key) -> list[HTTPRoute]:
        """The HTTPRoutes that have a parent there."""
        self.topics.add(("routes", *service))
        return self.store.routes_to(service)

    def grpc_routes_to(self, service: Key) -> list[GRPCRoute]:
        """The GRPCRoutes that have a parent there."""
        self.topics.add(("routes", *service))
        return self.store.grpc_routes_to(service)

    def policies_on(self, target: Target) -> list[MeshPolicy]:
        """The policies with that target."""
        self.topics.add(("policies", *target))
        return self.store.policies_on(target)

    def grants_in(self, namespace: str) -> list[ReferenceGrant]:
        """The ReferenceGrants of a namespace."""
        self.topics.add(("grants", namespace))
        return self.store.grants_in(namespace)
