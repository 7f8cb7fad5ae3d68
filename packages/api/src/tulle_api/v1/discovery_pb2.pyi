from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[Protocol]
    PROTOCOL_DETECT: _ClassVar[Protocol]
    PROTOCOL_HTTP1: _ClassVar[Protocol]
    PROTOCOL_HTTP2: _ClassVar[Protocol]
    PROTOCOL_OPAQUE: _ClassVar[Protocol]

class MatchType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_TYPE_UNSPECIFIED: _ClassVar[MatchType]
    MATCH_TYPE_EXACT: _ClassVar[MatchType]
    MATCH_TYPE_PREFIX: _ClassVar[MatchType]
    MATCH_TYPE_REGEX: _ClassVar[MatchType]
PROTOCOL_UNSPECIFIED: Protocol
PROTOCOL_DETECT: Protocol
PROTOCOL_HTTP1: Protocol
PROTOCOL_HTTP2: Protocol
PROTOCOL_OPAQUE: Protocol
MATCH_TYPE_UNSPECIFIED: MatchType
MATCH_TYPE_EXACT: MatchType
MATCH_TYPE_PREFIX: MatchType
MATCH_TYPE_REGEX: MatchType

class WatchRequest(_message.Message):
    __slots__ = ("node", "subscribe", "unsubscribe", "ack", "nack")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    node: Node
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    ack: Ack
    nack: Nack
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., nack: _Optional[_Union[Nack, _Mapping]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("pod", "namespace", "service_account", "workload", "version", "addresses", "instance", "host")
    POD_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    pod: str
    namespace: str
    service_account: str
    workload: str
    version: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    instance: str
    host: str
    def __init__(self, pod: _Optional[str] = ..., namespace: _Optional[str] = ..., service_account: _Optional[str] = ..., workload: _Optional[str] = ..., version: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., instance: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("destination", "held_version")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    HELD_VERSION_FIELD_NUMBER: _ClassVar[int]
    destination: str
    held_version: str
    def __init__(self, destination: _Optional[str] = ..., held_version: _Optional[str] = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("destination",)
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    destination: str
    def __init__(self, destination: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("destination", "version")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    destination: str
    version: str
    def __init__(self, destination: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("destination", "version", "error")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    destination: str
    version: str
    error: str
    def __init__(self, destination: _Optional[str] = ..., version: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("version", "destination", "inbound")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    INBOUND_FIELD_NUMBER: _ClassVar[int]
    version: str
    destination: Destination
    inbound: Inbound
    def __init__(self, version: _Optional[str] = ..., destination: _Optional[_Union[Destination, _Mapping]] = ..., inbound: _Optional[_Union[Inbound, _Mapping]] = ...) -> None: ...

class Destination(_message.Message):
    __slots__ = ("address", "known", "service", "protocol", "routes", "backends", "policies", "balancer", "balancer_config", "matches")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    BALANCER_FIELD_NUMBER: _ClassVar[int]
    BALANCER_CONFIG_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    address: str
    known: bool
    service: Service
    protocol: Protocol
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    backends: _containers.RepeatedCompositeFieldContainer[Backend]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    balancer: str
    balancer_config: str
    matches: _containers.RepeatedCompositeFieldContainer[RouteMatch]
    def __init__(self, address: _Optional[str] = ..., known: _Optional[bool] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., backends: _Optional[_Iterable[_Union[Backend, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., balancer: _Optional[str] = ..., balancer_config: _Optional[str] = ..., matches: _Optional[_Iterable[_Union[RouteMatch, _Mapping]]] = ...) -> None: ...

class RouteMatch(_message.Message):
    __slots__ = ("route", "path", "method", "headers", "query", "source")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    route: int
    path: PathMatch
    method: str
    headers: _containers.RepeatedCompositeFieldContainer[ValueMatch]
    query: _containers.RepeatedCompositeFieldContainer[ValueMatch]
    source: SourceMatch
    def __init__(self, route: _Optional[int] = ..., path: _Optional[_Union[PathMatch, _Mapping]] = ..., method: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[ValueMatch, _Mapping]]] = ..., query: _Optional[_Iterable[_Union[ValueMatch, _Mapping]]] = ..., source: _Optional[_Union[SourceMatch, _Mapping]] = ...) -> None: ...

class PathMatch(_message.Message):
    __slots__ = ("type", "value")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type: MatchType
    value: str
    def __init__(self, type: _Optional[_Union[MatchType, str]] = ..., value: _Optional[str] = ...) -> None: ...

class ValueMatch(_message.Message):
    __slots__ = ("name", "type", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: MatchType
    value: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[MatchType, str]] = ..., value: _Optional[str] = ...) -> None: ...

class SourceMatch(_message.Message):
    __slots__ = ("labels", "namespaces", "service_accounts")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.ScalarMap[str, str]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    service_accounts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, labels: _Optional[_Mapping[str, str]] = ..., namespaces: _Optional[_Iterable[str]] = ..., service_accounts: _Optional[_Iterable[str]] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("name", "namespace", "port", "authority")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    port: int
    authority: str
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., port: _Optional[int] = ..., authority: _Optional[str] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("name", "backends", "policies", "filters", "session", "without_policies")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_POLICIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    backends: _containers.RepeatedCompositeFieldContainer[WeightedBackend]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    session: Session
    without_policies: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[WeightedBackend, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ..., session: _Optional[_Union[Session, _Mapping]] = ..., without_policies: _Optional[_Iterable[str]] = ...) -> None: ...

class WeightedBackend(_message.Message):
    __slots__ = ("backend", "weight", "filters")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    weight: int
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, backend: _Optional[str] = ..., weight: _Optional[int] = ..., filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("policy", "redirect", "rewrite")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REDIRECT_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    redirect: Redirect
    rewrite: Rewrite
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., redirect: _Optional[_Union[Redirect, _Mapping]] = ..., rewrite: _Optional[_Union[Rewrite, _Mapping]] = ...) -> None: ...

class Redirect(_message.Message):
    __slots__ = ("scheme", "hostname", "path", "port", "status")
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    scheme: str
    hostname: str
    path: PathEdit
    port: int
    status: int
    def __init__(self, scheme: _Optional[str] = ..., hostname: _Optional[str] = ..., path: _Optional[_Union[PathEdit, _Mapping]] = ..., port: _Optional[int] = ..., status: _Optional[int] = ...) -> None: ...

class Rewrite(_message.Message):
    __slots__ = ("hostname", "path")
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    path: PathEdit
    def __init__(self, hostname: _Optional[str] = ..., path: _Optional[_Union[PathEdit, _Mapping]] = ...) -> None: ...

class PathEdit(_message.Message):
    __slots__ = ("full", "replacement", "prefix")
    FULL_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    full: str
    replacement: str
    prefix: str
    def __init__(self, full: _Optional[str] = ..., replacement: _Optional[str] = ..., prefix: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("name", "header", "absolute_ms", "idle_ms", "permanent")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ABSOLUTE_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    PERMANENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    header: bool
    absolute_ms: int
    idle_ms: int
    permanent: bool
    def __init__(self, name: _Optional[str] = ..., header: _Optional[bool] = ..., absolute_ms: _Optional[int] = ..., idle_ms: _Optional[int] = ..., permanent: _Optional[bool] = ...) -> None: ...

class Backend(_message.Message):
    __slots__ = ("name", "service", "resolved", "endpoints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    service: Service
    resolved: bool
    endpoints: _containers.RepeatedCompositeFieldContainer[Endpoint]
    def __init__(self, name: _Optional[str] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., resolved: _Optional[bool] = ..., endpoints: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("address", "port", "pod", "namespace", "workload", "zone", "weight", "labels", "meshed")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MESHED_FIELD_NUMBER: _ClassVar[int]
    address: str
    port: int
    pod: str
    namespace: str
    workload: str
    zone: str
    weight: int
    labels: _containers.ScalarMap[str, str]
    meshed: bool
    def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ..., pod: _Optional[str] = ..., namespace: _Optional[str] = ..., workload: _Optional[str] = ..., zone: _Optional[str] = ..., weight: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., meshed: _Optional[bool] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("type", "source", "config")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    type: str
    source: str
    config: str
    def __init__(self, type: _Optional[str] = ..., source: _Optional[str] = ..., config: _Optional[str] = ...) -> None: ...

class Inbound(_message.Message):
    __slots__ = ("ports", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PORTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ports: _containers.RepeatedCompositeFieldContainer[InboundPort]
    labels: _containers.ScalarMap[str, str]
    def __init__(self, ports: _Optional[_Iterable[_Union[InboundPort, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class InboundPort(_message.Message):
    __slots__ = ("port", "service", "protocol", "policies", "probe_paths")
    PORT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    PROBE_PATHS_FIELD_NUMBER: _ClassVar[int]
    port: int
    service: Service
    protocol: Protocol
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    probe_paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, port: _Optional[int] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., probe_paths: _Optional[_Iterable[str]] = ...) -> None: ...
