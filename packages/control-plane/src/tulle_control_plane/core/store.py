"""Every object that exists, typed and indexed by how it is looked for.

Owns the objects and their indexes, and says for each change what it touched, as topics. Refuses to know what anybody
makes of them: reader.py hands the objects out and notes topics, snapshots.py matches the two.

topic                         touched by a change of
("vip", ip)                   which Service has that address, and any change of that Service
("service", ns, name)         the Service itself
("endpoints", ns, name)       its EndpointSlices, or the pods in them
("routes", ns, name)          routes whose parent is that Service
("policies", kind, ns, name)  policies with that target
("namespace", name)           the Namespace
("grants", ns)                ReferenceGrants in that namespace
("pod", ns, name)             the pod, or which Services' slices it is in
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TypeAlias, TypeVar, cast

from tulle_control_plane.core.objects import (
    EndpointSlice,
    GRPCRoute,
    HTTPRoute,
    Key,
    MeshPolicy,
    Namespace,
    Object,
    Pod,
    ReferenceGrant,
    Service,
    Target,
)

Topic: TypeAlias = tuple[str, ...]
ObjectT = TypeVar("ObjectT", bound=Object)


class Store:
    """The catalog's present state. Changed only through `put` and `drop`."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[Key, Object]] = defaultdict(dict)
        self._services_by_vip: dict[str, set[Key]] = defaultdict(set)
        self._slices_by_service: dict[Key, set[Key]] = defaultdict(set)
        self._services_by_pod: dict[Key, Counter[Key]] = defaultdict(Counter)
        self._pods_by_ip: dict[str, set[Key]] = defaultdict(set)
        self._routes_by_parent: dict[Key, set[Key]] = defaultdict(set)
        self._grpc_routes_by_parent: dict[Key, set[Key]] = defaultdict(set)
        self._policies_by_target: dict[Target, set[Key]] = defaultdict(set)
        self._grants_by_namespace: dict[str, set[Key]] = defaultdict(set)

    # --- changes ---------------------------------------------------------------------------------------

    def put(self, obj: Object) -> set[Topic]:
        """Enter an object, or replace the one of its key. Returns what that touched: nothing when it is equal."""
        kind = type(obj).__name__
        old = self._objects[kind].get(obj.key)
        if old == obj:
            return set()
        topics: set[Topic] = set()
        if old is not None:
            topics |= self._unindex(old)
        self._objects[kind][obj.key] = obj
        return topics | self._index(obj)

    def drop(self, kind: str, key: Key) -> set[Topic]:
        """Take an object out. Returns what that touched: nothing when it was not there."""
        old = self._objects[kind].pop(key, None)
        return self._unindex(old) if old is not None else set()

    def _index(self, obj: Object) -> set[Topic]:
        for index, entry, key in self._entries(obj):
            index[entry].add(key)
        if isinstance(obj, EndpointSlice):
            for pod in {e.pod for e in obj.endpoints if e.pod}:
                self._services_by_pod[pod][obj.service_key] += 1
        return self._topics(obj)

    def _unindex(self, obj: Object) -> set[Topic]:
        topics = self._topics(obj)
        for index, entry, key in self._entries(obj):
            index[entry].discard(key)
            if not index[entry]:
                del index[entry]
        if isinstance(obj, EndpointSlice):
            for pod in {e.pod for e in obj.endpoints if e.pod}:
                services = self._services_by_pod[pod]
                services[obj.service_key] -= 1
                if not services[obj.service_key]:
                    del services[obj.service_key]
                if not services:
                    del self._services_by_pod[pod]
        return topics

    def _entries(self, obj: Object) -> Iterator[tuple[dict[object, set[Key]], object, Key]]:
        index: object
        entries: list[object]
        match obj:
            case Service():
                index, entries = self._services_by_vip, list(obj.vips)
            case EndpointSlice():
                index, entries = self._slices_by_service, [obj.service_key]
            case Pod():
                index, entries = self._pods_by_ip, [] if obj.finished else list(obj.ips)
            case HTTPRoute():
                index, entries = self._routes_by_parent, list({parent.service for parent in obj.parents})
            case GRPCRoute():
                index, entries = self._grpc_routes_by_parent, list({parent.service for parent in obj.parents})
            case MeshPolicy():
                index, entries = self._policies_by_target, [obj.target]
            case ReferenceGrant():
                index, entries = self._grants_by_namespace, [obj.namespace]
            case _:
                return
        for entry in entries:
            yield cast("dict[object, set[Key]]", index), entry, obj.key

    def _topics(self, obj: Object) -> set[Topic]:
        match obj:
            case Namespace():
                return {("namespace", obj.name)}
            case Service():
                return {("service", *obj.key), *(("vip", vip) for vip in obj.vips)}
            case EndpointSlice():
                pods = {endpoint.pod for endpoint in obj.endpoints if endpoint.pod}
                return {("endpoints", *obj.service_key), *(("pod", *pod) for pod in pods)}
            case Pod():
                services = self._services_by_pod.get(obj.key, Counter())
                return {("pod", *obj.key), *(("endpoints", *service) for service in services)}
            case HTTPRoute() | GRPCRoute():
                return {("routes", *parent.service) for parent in obj.parents}
            case MeshPolicy():
                return {("policies", *obj.target)}
            case ReferenceGrant():
                return {("grants", obj.namespace)}

    # --- look-ups --------------------------------------------------------------------------------------

    def get(self, kind: type[ObjectT], key: Key) -> ObjectT | None:
        """The object of that kind and key."""
        return cast("ObjectT | None", self._objects[kind.__name__].get(key))

    def all(self, kind: type[ObjectT]) -> list[ObjectT]:
        """Every object of a kind, sorted by key."""
        objects = self._objects[kind.__name__]
        return [cast(ObjectT, objects[key]) for key in sorted(objects)]

    def counts(self) -> dict[str, int]:
        """How many objects of each kind there are."""
        return {kind: len(objects) for kind, objects in sorted(self._objects.items()) if objects}

    def keys(self, kind: str) -> list[Key]:
        """The keys of a kind's objects, sorted."""
        return sorted(self._objects[kind])

    def has(self, kind: str, key: Key) -> bool:
        """Whether that object is in force."""
        return key in self._objects[kind]

    def service_at(self, ip: str) -> Service | None:
        """The Service with that address; the first by key, should two claim it."""
        keys = self._services_by_vip.get(ip)
        return self.get(Service, min(keys)) if keys else None

    def pod_at(self, ip: str) -> Pod | None:
        """The running pod with that address; the first by key, should two claim it (pods on the host's network do)."""
        keys = self._pods_by_ip.get(ip)
        return self.get(Pod, min(keys)) if keys else None

    def slices(self, service: Key) -> list[EndpointSlice]:
        """The slices of a Service, by name."""
        keys = sorted(self._slices_by_service.get(service, ()))
        return [found for key in keys if (found := self.get(EndpointSlice, key))]

    def services_of(self, pod: Key) -> list[Key]:
        """The Services whose slices hold that pod, sorted."""
        return sorted(self._services_by_pod.get(pod, ()))

    def routes_to(self, service: Key) -> list[HTTPRoute]:
        """The routes that have a parent there, by key."""
        keys = sorted(self._routes_by_parent.get(service, ()))
        return [found for key in keys if (found := self.get(HTTPRoute, key))]

    def grpc_routes_to(self, service: Key) -> list[GRPCRoute]:
        """The GRPCRoutes that have a parent there, by key."""
        keys = sorted(self._grpc_routes_by_parent.get(service, ()))
        return [found for key in keys if (found := self.get(GRPCRoute, key))]

    def policies_on(self, target: Target) -> list[MeshPolicy]:
        """The policies with that target, by key."""
        keys = sorted(self._policies_by_target.get(target, ()))
        return [found for key in keys if (found := self.get(MeshPolicy, key))]

    def grants_in(self, namespace: str) -> list[ReferenceGrant]:
        """The ReferenceGrants of a namespace, by key."""
        keys = sorted(self._grants_by_namespace.get(namespace, ()))
        return [found for key in keys if (found := self.get(ReferenceGrant, key))]
