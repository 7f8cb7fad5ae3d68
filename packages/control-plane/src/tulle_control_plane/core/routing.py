"""Routes of a Service, as one client namespace sees them (GEP-1294, the Gateway API for meshes).

Owns which routes hold, in which order, and where they send. A client in a namespace that has routes of its own to the
Service (consumer routes) follows those alone; every other client follows the routes in the Service's namespace
(producer routes). Within a group, the older route comes first, then by namespace and name; rules keep their order.

Fine here: rules match every request, so the first one of the first route answers all. The matches that come with the
rest of the Gateway API refine this order, and do not replace it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle_control_plane.core.objects import BackendRef, HTTPRoute, Key, Service, ServicePort
from tulle_control_plane.core.policies import Directions, on_rule
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Backend, Route
from tulle_control_plane.core.services import Settings, backend_name, backend_of, reference


def routes_for(reader: Reader, client: str, service: Service, port: ServicePort) -> list[HTTPRoute]:
    """The routes that hold for a client's namespace, in order of precedence."""
    attached = [
        route
        for route in reader.routes_to(service.key)
        if any(parent.service == service.key and parent.selects(port) for parent in route.parents)
    ]
    own = [route for route in attached if route.namespace == client]
    producers = [route for route in attached if route.namespace == service.namespace]
    return sorted(own or producers, key=lambda route: (route.created, route.key))


def allowed(reader: Reader, route: HTTPRoute, backend: BackendRef, parent: Key) -> bool:
    """Whether a route may send there: its own namespace, its parent's (who calls a Service may be sent back to its
    namespace), or where a ReferenceGrant says so. Stricter than GEP-1294, which lets a mesh go without the grant.
    """
    namespace, name = backend.service
    if namespace in (route.namespace, parent[0]):
        return True
    return any(
        ("HTTPRoute", route.namespace) in grant.from_ and (("Service", name) in grant.to or ("Service", "") in grant.to)
        for grant in reader.grants_in(namespace)
    )


def compile_routes(
    reader: Reader, client: str, service: Service, port: ServicePort, settings: Settings, directions: Directions
) -> tuple[tuple[Route, ...], tuple[Backend, ...]]:
    """The routes in matching order, and every backend once: the Service's own first, the others by name."""
    own = backend_of(reader, service.key, port.port, settings)
    backends = {own.name: own}
    routes: list[Route] = []
    for route in routes_for(reader, client, service, port):
        for index, rule in enumerate(route.rules):
            weights: dict[str, int] = {}
            for backend, weight in _backends(reader, route, index, service, settings):
                known = backends.setdefault(backend.name, backend)
                weights[known.name] = weights.get(known.name, 0) + weight
            policies = on_rule(reader, route, rule.name, directions)
            name = f"{route.namespace}/{route.name}/{rule.name or index}"
            routes.append(Route(name, tuple(weights.items()) or ((own.name, 1),), policies))
    del backends[own.name]
    return tuple(routes), (own, *(backends[name] for name in sorted(backends)))


def _backends(
    reader: Reader, route: HTTPRoute, index: int, service: Service, settings: Settings
) -> Iterator[tuple[Backend, int]]:
    for ref in route.rules[index].backends:
        if ref.kind == "Service" and allowed(reader, route, ref, service.key):
            yield backend_of(reader, ref.service, ref.port, settings), ref.weight
        else:
            # a name of its own: where another route may send to the same Service, that one stays resolved
            why = "not-permitted" if ref.kind == "Service" else ref.kind
            name = f"{backend_name(ref.service, ref.port)}#{why}"
            yield Backend(name, reference(ref.service, ref.port, settings), resolved=False), ref.weight
