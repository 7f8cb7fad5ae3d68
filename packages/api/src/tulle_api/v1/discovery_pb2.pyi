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
PROTOCOL_UNSPECIFIED: Protocol
PROTOCOL_DETECT: Protocol
PROTOCOL_HTTP1: Protocol
PROTOCOL_HTTP2: Protocol
PROTOCOL_OPAQUE: Protocol

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
    __slots__ = ("address", "known", "service", "protocol", "routes", "backends", "policies", "balancer", "balancer_config")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    BALANCER_FIELD_NUMBER: _ClassVar[int]
    BALANCER_CONFIG_FIELD_NUMBER: _ClassVar[int]
    address: str
    known: bool
    service: Service
    protocol: Protocol
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    backends: _containers.RepeatedCompositeFieldContainer[Backend]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    balancer: str
    balancer_config: str
    def __init__(self, address: _Optional[str] = ..., known: _Optional[bool] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., backends: _Optional[_Iterable[_Union[Backend, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., balancer: _Optional[str] = ..., balancer_config: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("name", "backends", "policies")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    backends: _containers.RepeatedCompositeFieldContainer[WeightedBackend]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    def __init__(self, name: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[WeightedBackend, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ...) -> None: ...

class WeightedBackend(_message.Message):
    __slots__ = ("backend", "weight")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    backend: str
    weight: int
    def __init__(self, backend: _Optional[str] = ..., weight: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("ports",)
    PORTS_FIELD_NUMBER: _ClassVar[int]
    ports: _containers.RepeatedCompositeFieldContainer[InboundPort]
    def __init__(self, ports: _Optional[_Iterable[_Union[InboundPort, _Mapping]]] = ...) -> None: ...

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
