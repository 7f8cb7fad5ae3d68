"""What a pod's proxy must know to receive: the app's ports, their protocols, Services and policies.

Owns the answer as a whole. A port is known from the Services whose slices hold the pod, ready or not (a pod must be
able to receive before it is ready, or it never will be), and from what its containers declare.
"""

from __future__ import annotations

from dataclasses import replace

from tulle_control_plane.core.objects import Key, Pod, Service, ServicePort
from tulle_control_plane.core.policies import Directions, on_namespace, on_service
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Inbound, InboundPort, Protocol
from tulle_control_plane.core.services import Settings, protocol_of, protocol_of_name, reference


def compute_inbound(reader: Reader, pod: Key, settings: Settings, directions: Directions) -> Inbound:
    """The pod's ports, by number. Empty for a pod that is not known (yet): its proxy then detects."""
    found = reader.pod(pod)
    ports: dict[int, InboundPort] = {}
    for service, service_port, number in _service_ports(reader, pod):
        if number not in ports:  # the first Service by name, where several lead to the port
            ports[number] = InboundPort(
                port=number,
                service=reference(service.key, service_port.port, settings),
                protocol=protocol_of(reader, service, service_port, settings),
                policies=on_service(reader, service.key, directions, "inbound"),
            )
    if found is not None:
        for port in found.ports:
            if port.port not in ports:
                policies = on_namespace(reader, found.namespace, directions, "inbound")
                ports[port.port] = InboundPort(port.port, None, protocol_of_name(port.name), policies)
        ports = {number: _probed(found, _annotated(reader, found, port)) for number, port in ports.items()}
    labels = found.labels if found is not None else ()
    return Inbound(tuple(ports[number] for number in sorted(ports)), labels)


def _service_ports(reader: Reader, pod: Key) -> list[tuple[Service, ServicePort, int]]:
    found = []
    for key in reader.services_of(pod):
        service = reader.service(key)
        if service is None:
            continue
        by_name = {port.name: port for port in service.ports}
        numbers = {
            (slice_port.name, slice_port.port)
            for piece in reader.store.slices(key)  # this pod's membership is under its own topic, noted above
            if any(endpoint.pod == pod for endpoint in piece.endpoints)
            for slice_port in piece.ports
        }
        found += [(service, by_name[name], number) for name, number in sorted(numbers) if name in by_name]
    return found


def _annotated(reader: Reader, pod: Pod, port: InboundPort) -> InboundPort:
    # on a pod, the annotation lists the ports of its containers
    opaque = pod.opaque_ports
    if opaque is None:
        opaque = reader.namespace(pod.namespace).opaque_ports
    if opaque is None or port.port not in opaque:
        return port
    return replace(port, protocol=Protocol.OPAQUE)


def _probed(pod: Pod, port: InboundPort) -> InboundPort:
    paths = tuple(path for number, path in pod.probes if number == port.port)
    return replace(port, probe_paths=paths) if paths else port
