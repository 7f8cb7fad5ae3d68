"""What a client in a namespace must know of an "address:port" that its application dialled.

Owns the answer as a whole; its parts are services.py, routing.py and policies.py.
"""

from __future__ import annotations

from tulle_control_plane.core.addresses import parse_destination
from tulle_control_plane.core.policies import Directions, balancer_of, on_service
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Destination, Protocol
from tulle_control_plane.core.routing import compile_routes
from tulle_control_plane.core.services import Settings, protocol_of, reference


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
    routes, backends = compile_routes(reader, client, service, port, settings, directions)
    if protocol is Protocol.OPAQUE:
        routes, backends = (), backends[:1]  # an HTTPRoute says nothing about bytes
    balancer, balancer_config = balancer_of(reader, service.key)
    return Destination(
        address=address,
        known=True,
        service=reference(service.key, port.port, settings),
        protocol=protocol,
        routes=routes,
        backends=backends,
        policies=on_service(reader, service.key, directions, "outbound"),
        balancer=balancer,
        balancer_config=balancer_config,
    )
