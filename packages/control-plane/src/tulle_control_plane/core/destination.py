"""What a client in a namespace must know of an "address:port" that its application dialled.

Owns the answer as a whole; its parts are services.py, routing.py and policies.py.
"""

from __future__ import annotations

from tulle_control_plane.core.addresses import parse_destination
from tulle_control_plane.core.policies import Directions, balancer_of, on_service
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Backend, Destination, Policy, Protocol, Route
from tulle_control_plane.core.routing import compile_routes
from tulle_control_plane.core.services import Settings, backend_of, protocol_of, reference


def compute_destination(
    reader: Reader, client: str, address: str, settings: Settings, directions: Directions
) -> Destination:
    """The destination for clients in namespace `client`. Unknown (pass through) where no Service has that address
    and port; so are pods' own addresses: a call to a pod is a call to that pod (GEP-1294, "Multiple routes").
    """
    dialled = parse_destination(address)
    service = reader.service_at(dialled.ip) if dialled else None
    port = service.port(dialled.port) if service and dialled else None
    if service is None or port is None:
        return Destination(address)
    protocol = protocol_of(reader, service, port, settings)
    compiled = compile_routes(reader, client, service, port, settings, directions)
    routes, rows, backends = compiled.routes, compiled.rows, compiled.backends
    policies = on_service(reader, service.key, directions, "outbound")
    if protocol is Protocol.OPAQUE:
        routes, rows, backends = (), (), backends[:1]  # an HTTPRoute says nothing about bytes
    else:
        more = _of_policies(reader, service.namespace, policies, routes, backends, settings, directions)
        backends = (*backends, *more)
    balancer, balancer_config = balancer_of(reader, service.key)
    return Destination(
        address=address,
        known=True,
        service=reference(service.key, port.port, settings),
        protocol=protocol,
        routes=routes,
        backends=backends,
        policies=policies,
        balancer=balancer,
        balancer_config=balancer_config,
        rows=rows,
    )


def _of_policies(
    reader: Reader,
    namespace: str,
    policies: tuple[Policy, ...],
    routes: tuple[Route, ...],
    known: tuple[Backend, ...],
    settings: Settings,
    directions: Directions,
) -> tuple[Backend, ...]:
    """Backends that only policies send to, such as a mirror's: Services in the namespace of the one that is called."""
    names = {backend.name for backend in known}
    more: dict[str, Backend] = {}
    for policy in (*policies, *(policy for route in routes for policy in route.policies)):
        for name, port in directions.sends_to(policy.type, policy.config):
            backend = backend_of(reader, (namespace, name), port, settings)
            if backend.name not in names:
                more[backend.name] = backend
    return tuple(more[name] for name in sorted(more))
