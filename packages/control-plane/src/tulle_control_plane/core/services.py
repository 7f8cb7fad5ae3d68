"""Services: which protocol a port speaks, and who can serve it.

Owns the choice of protocol and of endpoints. Refuses to know routes and policies.

Protocol, first that applies:
1. annotation `tulle.dev/opaque-ports` on the Service, else on its Namespace, lists the Service's port: opaque
2. `appProtocol` (table below); one that we do not know is left to detection
3. the port's name, before its first hyphen (table below): names that detection could not guess right or in time
4. a port that is known to belong to a protocol whose server speaks first: opaque, unless 1 exists and is silent
5. detection. Names such as "http" are left to it too: it tells HTTP/1.1 from HTTP/2, which a name does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tulle_control_plane.core.objects import EndpointSlice, Key, Pod, Service, ServicePort, SliceEndpoint
from tulle_control_plane.core.ports import PortSet
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Backend, Endpoint, Protocol, ServiceRef

# KEP-3726's names, IANA's, and those that other meshes understand. TLS is bytes to us: it is not ours to open.
APP_PROTOCOLS: dict[str, Protocol] = {
    "http": Protocol.HTTP1,
    "kubernetes.io/ws": Protocol.HTTP1,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "http2": Protocol.HTTP2,
    "h2c": Protocol.HTTP2,
    "grpc": Protocol.HTTP2,
    "kubernetes.io/wss": Protocol.OPAQUE,
    "https": Protocol.OPAQUE,
    "tls": Protocol.OPAQUE,
    "tcp": Protocol.OPAQUE,
    "mongo": Protocol.OPAQUE,
    "mysql": Protocol.OPAQUE,
    "postgres": Protocol.OPAQUE,
    "postgresql": Protocol.OPAQUE,
    "redis": Protocol.OPAQUE,
    "smtp": Protocol.OPAQUE,
    "tulle.dev/opaque": Protocol.OPAQUE,
    "tulle.dev/detect": Protocol.DETECT,
}

_OPAQUE_NAMES = ("tcp", "tls", "https", "mongo", "mysql", "postgres", "postgresql", "redis", "smtp")
_HTTP2_NAMES = ("grpc", "http2", "h2c")
PORT_NAMES: dict[str, Protocol] = {
    **dict.fromkeys(_OPAQUE_NAMES, Protocol.OPAQUE),
    **dict.fromkeys(_HTTP2_NAMES, Protocol.HTTP2),
}

NOT_BY_NAME = ("grpc-web",)
"""HTTP/1.1 more often than not, whatever its first word says."""


SERVER_SPEAKS_FIRST = PortSet.parse("25,587,3306,4444,5432,6379,9300,11211")
"""SMTP, MySQL, Galera, PostgreSQL, Redis, Elasticsearch's transport, memcached."""


@dataclass(frozen=True)
class Settings:
    """What holds for the whole mesh."""

    cluster_domain: str = "cluster.local"
    opaque_ports: PortSet = SERVER_SPEAKS_FIRST


def reference(service: Key, port: int, settings: Settings) -> ServiceRef:
    """A Service's port by its full name."""
    namespace, name = service
    return ServiceRef(name, namespace, port, f"{name}.{namespace}.svc.{settings.cluster_domain}:{port}")


def protocol_of(reader: Reader, service: Service, port: ServicePort, settings: Settings) -> Protocol:
    """What a Service's port speaks; the module's docstring has the rules."""
    annotated = service.opaque_ports
    if annotated is None:
        annotated = reader.namespace(service.namespace).opaque_ports
    if annotated is not None and port.port in annotated:
        return Protocol.OPAQUE
    if port.app_protocol:
        return APP_PROTOCOLS.get(port.app_protocol.lower(), Protocol.DETECT)
    named = protocol_of_name(port.name)
    if named is not Protocol.DETECT:
        return named
    speaks_first = port.port in settings.opaque_ports or (
        isinstance(port.target_port, int) and port.target_port in settings.opaque_ports
    )
    return Protocol.OPAQUE if speaks_first and annotated is None else Protocol.DETECT


def protocol_of_name(name: str) -> Protocol:
    """What a port's name says; DETECT for nothing."""
    if name.startswith(NOT_BY_NAME):
        return Protocol.DETECT
    return PORT_NAMES.get(name.partition("-")[0], Protocol.DETECT)


def backend_name(service: Key, port: int) -> str:
    """ "namespace/service:port"."""
    return f"{service[0]}/{service[1]}:{port}"


def backend_of(reader: Reader, service: Key, number: int, settings: Settings) -> Backend:
    """A Service's port as a backend, with its endpoints; unresolved where there is no such Service or port."""
    name, ref = backend_name(service, number), reference(service, number, settings)
    found = reader.service(service)
    port = found.port(number) if found and not found.external_name else None
    if port is None:
        return Backend(name, ref, resolved=False)
    return Backend(name, ref, True, endpoints_of(reader, service, port))


VERSION_LABEL = "version"
"""Of pods: what a Subset as backend asks for."""


def subset_of(backend: Backend, version: str) -> Backend:
    """The endpoints of a backend whose pods have that version, as a backend of its own: "namespace/service.v2:80"."""
    name = f"{backend.service.namespace}/{backend.service.name}.{version}:{backend.service.port}"
    label = (VERSION_LABEL, version)
    return replace(backend, name=name, endpoints=tuple(e for e in backend.endpoints if label in e.labels))


def endpoints_of(reader: Reader, service: Key, port: ServicePort) -> tuple[Endpoint, ...]:
    """Who can serve a Service's port now, sorted by address and port.

    The ready ones; where none is, those that still serve while they terminate (as kube-proxy does, KEP-1669): an
    answer from one that is leaving is better than none.
    """
    ready: dict[tuple[str, int], Endpoint] = {}
    leaving: dict[tuple[str, int], Endpoint] = {}
    for piece in reader.slices(service):
        for number in _numbers(piece, port):
            for endpoint in piece.endpoints:
                group = ready if endpoint.ready else leaving if endpoint.serving and endpoint.terminating else None
                if group is not None:
                    # the same address in two slices happens while Kubernetes moves it: it is one endpoint
                    group.setdefault((endpoint.address, number), _endpoint(reader, piece.namespace, endpoint, number))
    chosen = ready or leaving
    return tuple(chosen[key] for key in sorted(chosen))


def _numbers(piece: EndpointSlice, port: ServicePort) -> list[int]:
    # a slice's port carries the Service port's name; nameless where the Service has only one
    return sorted({slice_port.port for slice_port in piece.ports if slice_port.name == port.name})


def _endpoint(reader: Reader, namespace: str, endpoint: SliceEndpoint, port: int) -> Endpoint:
    pod = reader.pod_of(endpoint.pod) if endpoint.pod else None
    if pod is None:
        name = endpoint.pod[1] if endpoint.pod else ""
        return Endpoint(endpoint.address, port, pod=name, namespace=namespace, zone=endpoint.zone)
    return Endpoint(
        address=endpoint.address,
        port=port,
        pod=pod.name,
        namespace=pod.namespace,
        workload=pod.workload,
        zone=endpoint.zone,
        labels=pod.labels,
        meshed=pod.meshed and not _skips(reader, pod, port),
    )


def _skips(reader: Reader, pod: Pod, port: int) -> bool:
    # traffic to a skipped port never reaches that pod's proxy, so it cannot be spoken to as one
    skipped = pod.skip_inbound
    if skipped is None:
        skipped = reader.namespace(pod.namespace).skip_inbound
    return skipped is not None and port in skipped
