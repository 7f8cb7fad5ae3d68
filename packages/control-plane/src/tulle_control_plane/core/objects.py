"""What the control plane keeps of each Kubernetes object: small, typed, comparable.

Owns the vocabulary of core's inside. Refuses to know how the objects were written (parse.py reads them) and what
is made of them. Two objects that are equal here cannot make a difference to any proxy, so a change of a field
that is not here (a status, an annotation of somebody else's) costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tulle_control_plane.core.ports import PortSet

Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace is empty for objects without one."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted by key."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A Namespace, and its annotations that stand in for those its pods and Services lack."""

    name: str
    opaque_ports: PortSet | None = None
    skip_inbound: PortSet | None = None

    @property
    def key(self) -> Key:
        """A Namespace has no namespace."""
        return "", self.name


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A TCP port that a container of the app declares."""

    port: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod: who it belongs to, and whether a proxy of ours stands in front of it."""

    namespace: str
    name: str
    workload: str  # "deployment/app-b"; "pod/NAME" for one that nothing owns
    labels: Labels = ()
    meshed: bool = False
    ports: tuple[ContainerPort, ...] = ()
    probes: tuple[tuple[int, str], ...] = ()  # port and path of each HTTP probe, sorted
    ips: tuple[str, ...] = ()
    opaque_ports: PortSet | None = None
    skip_inbound: PortSet | None = None
    finished: bool = False  # Succeeded or Failed: its addresses may already be another pod's

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A TCP port of a Service."""

    port: int
    name: str = ""
    app_protocol: str = ""
    target_port: int | str = 0  # a number or a container port's name; as `port` where the Service says nothing


@dataclass(frozen=True, slots=True)
class Service:
    """A Service. `vips` is empty for headless and ExternalName Services: nothing dials those by address."""

    namespace: str
    name: str
    vips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    opaque_ports: PortSet | None = None
    external_name: bool = False

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    def port(self, number: int) -> ServicePort | None:
        """The port of that number."""
        return next((port for port in self.ports if port.port == number), None)


@dataclass(frozen=True, slots=True)
class SlicePort:
    """A TCP port of an EndpointSlice: the number behind a Service port's name."""

    port: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """An endpoint of a slice; conditions with Kubernetes' defaults filled in."""

    address: str
    pod: Key | None = None
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Some endpoints of one Service; it may have several slices."""

    namespace: str
    name: str
    service: str
    ports: tuple[SlicePort, ...] = ()
    endpoints: tuple[SliceEndpoint, ...] = ()

    @property
    def key(self) -> Key:
        """Namespace and name of the slice."""
        return self.namespace, self.name

    @property
    def service_key(self) -> Key:
        """The Service it belongs to."""
        return self.namespace, self.service


@dataclass(frozen=True, slots=True)
class ParentRef:
    """A Service that a route attaches to: all its ports, or the one of that number or name."""

    service: Key
    port: int | None = None
    section: str = ""

    def selects(self, port: ServicePort) -> bool:
        """Whether the route is for this port (GEP-1294, "Ports")."""
        return self.port in (None, port.port) and self.section in ("", port.name)


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """What a path, or the header field or query parameter of that name, must be. `kind`: a key of MATCH_KINDS."""

    kind: str
    value: str
    name: str = ""


MATCH_KINDS = ("Exact", "PathPrefix", "RegularExpression")


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions that must all hold. A path prefix has no slash at its end; no path: any."""

    path: ValueMatch | None = None
    method: str = ""
    headers: tuple[ValueMatch, ...] = ()  # names in lower case, each once
    query: tuple[ValueMatch, ...] = ()
    grpc: tuple[int, int] | None = None  # characters of the service and of the method that a GRPCRoute matches


@dataclass(frozen=True, slots=True)
class Clients:
    """Which clients a route is for (our own annotations `tulle.dev/from-*`). Empty: any."""

    labels: Labels = ()
    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()  # "namespace/name"

    def __len__(self) -> int:
        """How many conditions there are."""
        return len(self.labels) + bool(self.namespaces) + bool(self.service_accounts)


@dataclass(frozen=True, slots=True)
class PathEdit:
    """A new path: instead of the whole one, or of the `prefix` that the rule matches."""

    full: str | None = None
    replacement: str | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class PluginFilter:
    """A filter that a policy plugin carries out: header edits, CORS. `config` is JSON with sorted keys."""

    type: str
    config: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer with another place. Empty: as the request has it."""

    scheme: str = ""
    hostname: str = ""
    path: PathEdit | None = None
    port: int = 0
    status: int = 302


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Send on for another host, path, or both."""

    hostname: str = ""
    path: PathEdit | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """Send a copy of `percent` of the requests to another Service, too."""

    backend: BackendRef
    percent: float = 100


Filter: TypeAlias = "PluginFilter | Redirect | Rewrite | Mirror"


@dataclass(frozen=True, slots=True)
class Session:
    """Session persistence (GEP-1619). Times in milliseconds, 0 for no limit."""

    name: str = ""  # empty: one is made of the rule's name
    header: bool = False
    absolute_ms: int = 0
    idle_ms: int = 0
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class BackendRef:
    """Where a share of a rule's requests goes. `kind` is "Service" or something we cannot send to."""

    service: Key
    port: int
    weight: int = 1
    kind: str = "Service"
    version: str = ""  # of a Subset: only endpoints whose pods have this label `version`
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a route: any of its matches; none: every request.

    `policies`: what its own fields (timeouts, retry) say, as type and JSON; None switches the type off.
    """

    name: str = ""
    backends: tuple[BackendRef, ...] = ()
    matches: tuple[Match, ...] = ()
    filters: tuple[Filter, ...] = ()
    policies: tuple[tuple[str, str | None], ...] = ()
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class HTTPRoute:
    """A route whose parents are Services. `created` is its RFC 3339 timestamp, empty where unknown."""

    namespace: str
    name: str
    created: str = ""
    parents: tuple[ParentRef, ...] = ()
    rules: tuple[Rule, ...] = (Rule(),)
    clients: Clients = Clients()

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class GRPCRoute:
    """The same for gRPC: services and methods are paths there, so that nothing else differs."""

    namespace: str
    name: str
    created: str = ""
    parents: tuple[ParentRef, ...] = ()
    rules: tuple[Rule, ...] = (Rule(),)
    clients: Clients = Clients()

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


AnyRoute: TypeAlias = HTTPRoute | GRPCRoute


@dataclass(frozen=True, slots=True)
class ReferenceGrant:
    """Allows routes of other namespaces to send to Services of this one. An empty name in `to` is all of them."""

    namespace: str
    name: str
    from_: tuple[tuple[str, str], ...] = ()  # (kind, namespace)
    to: tuple[tuple[str, str], ...] = ()  # (kind, name)

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


Target: TypeAlias = tuple[str, str, str]
"""What a policy applies to: (kind, namespace, name). A Namespace is ("Namespace", "", NAME), everything is MESH."""

MESH: Target = ("Mesh", "", "")


@dataclass(frozen=True, slots=True)
class MeshPolicy:
    """A policy or balancer plugin's configuration, attached to something. `config` is JSON with sorted keys."""

    namespace: str
    name: str
    type: str
    target: Target
    section: str = ""  # a rule's name, for routes
    config: str = "{}"
    created: str = ""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


Object: TypeAlias = Namespace | Pod | Service | EndpointSlice | HTTPRoute | GRPCRoute | ReferenceGrant | MeshPolicy
