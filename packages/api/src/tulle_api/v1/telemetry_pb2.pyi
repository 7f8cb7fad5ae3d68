from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_INBOUND: _ClassVar[Direction]
    DIRECTION_OUTBOUND: _ClassVar[Direction]
DIRECTION_UNSPECIFIED: Direction
DIRECTION_INBOUND: Direction
DIRECTION_OUTBOUND: Direction

class ReportRequest(_message.Message):
    __slots__ = ("node", "interval_ms", "http", "tcp", "gauges", "plugins", "accounts", "expecting")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    GAUGES_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTING_FIELD_NUMBER: _ClassVar[int]
    node: ReportingNode
    interval_ms: int
    http: _containers.RepeatedCompositeFieldContainer[HttpSeries]
    tcp: _containers.RepeatedCompositeFieldContainer[TcpSeries]
    gauges: ProxyGauges
    plugins: _containers.RepeatedCompositeFieldContainer[PluginFault]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    expecting: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[_Union[ReportingNode, _Mapping]] = ..., interval_ms: _Optional[int] = ..., http: _Optional[_Iterable[_Union[HttpSeries, _Mapping]]] = ..., tcp: _Optional[_Iterable[_Union[TcpSeries, _Mapping]]] = ..., gauges: _Optional[_Union[ProxyGauges, _Mapping]] = ..., plugins: _Optional[_Iterable[_Union[PluginFault, _Mapping]]] = ..., accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., expecting: _Optional[_Iterable[str]] = ...) -> None: ...

class ReportingNode(_message.Message):
    __slots__ = ("pod", "namespace", "workload", "service_account", "instance")
    POD_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    pod: str
    namespace: str
    workload: str
    service_account: str
    instance: str
    def __init__(self, pod: _Optional[str] = ..., namespace: _Optional[str] = ..., workload: _Optional[str] = ..., service_account: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("direction", "peer_pod", "peer_namespace", "peer_workload", "service", "service_namespace", "service_port", "route", "backend", "secured")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    PEER_POD_FIELD_NUMBER: _ClassVar[int]
    PEER_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PEER_WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_PORT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    SECURED_FIELD_NUMBER: _ClassVar[int]
    direction: Direction
    peer_pod: str
    peer_namespace: str
    peer_workload: str
    service: str
    service_namespace: str
    service_port: int
    route: str
    backend: str
    secured: bool
    def __init__(self, direction: _Optional[_Union[Direction, str]] = ..., peer_pod: _Optional[str] = ..., peer_namespace: _Optional[str] = ..., peer_workload: _Optional[str] = ..., service: _Optional[str] = ..., service_namespace: _Optional[str] = ..., service_port: _Optional[int] = ..., route: _Optional[str] = ..., backend: _Optional[str] = ..., secured: _Optional[bool] = ...) -> None: ...

class HttpSeries(_message.Message):
    __slots__ = ("edge", "status", "reason", "requests", "failures", "latency_buckets", "latency_sum_us", "request_bytes", "response_bytes")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SUM_US_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    edge: Edge
    status: int
    reason: str
    requests: int
    failures: int
    latency_buckets: _containers.RepeatedScalarFieldContainer[int]
    latency_sum_us: int
    request_bytes: int
    response_bytes: int
    def __init__(self, edge: _Optional[_Union[Edge, _Mapping]] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ..., requests: _Optional[int] = ..., failures: _Optional[int] = ..., latency_buckets: _Optional[_Iterable[int]] = ..., latency_sum_us: _Optional[int] = ..., request_bytes: _Optional[int] = ..., response_bytes: _Optional[int] = ...) -> None: ...

class TcpSeries(_message.Message):
    __slots__ = ("edge", "opened", "closed", "failed", "sent_bytes", "received_bytes", "open_connections")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPEN_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    edge: Edge
    opened: int
    closed: int
    failed: int
    sent_bytes: int
    received_bytes: int
    open_connections: int
    def __init__(self, edge: _Optional[_Union[Edge, _Mapping]] = ..., opened: _Optional[int] = ..., closed: _Optional[int] = ..., failed: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., open_connections: _Optional[int] = ...) -> None: ...

class ProxyGauges(_message.Message):
    __slots__ = ("resident_bytes", "open_descriptors", "tasks")
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPEN_DESCRIPTORS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    resident_bytes: int
    open_descriptors: int
    tasks: int
    def __init__(self, resident_bytes: _Optional[int] = ..., open_descriptors: _Optional[int] = ..., tasks: _Optional[int] = ...) -> None: ...

class PluginFault(_message.Message):
    __slots__ = ("plugin", "state", "error", "failures")
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    plugin: str
    state: str
    error: str
    failures: int
    def __init__(self, plugin: _Optional[str] = ..., state: _Optional[str] = ..., error: _Optional[str] = ..., failures: _Optional[int] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("set_log_level", "start_tap", "stop_tap", "expect", "send", "forget")
    SET_LOG_LEVEL_FIELD_NUMBER: _ClassVar[int]
    START_TAP_FIELD_NUMBER: _ClassVar[int]
    STOP_TAP_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    set_log_level: SetLogLevel
    start_tap: StartTap
    stop_tap: StopTap
    expect: Expect
    send: Send
    forget: Forget
    def __init__(self, set_log_level: _Optional[_Union[SetLogLevel, _Mapping]] = ..., start_tap: _Optional[_Union[StartTap, _Mapping]] = ..., stop_tap: _Optional[_Union[StopTap, _Mapping]] = ..., expect: _Optional[_Union[Expect, _Mapping]] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., forget: _Optional[_Union[Forget, _Mapping]] = ...) -> None: ...

class SetLogLevel(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: str
    def __init__(self, level: _Optional[str] = ...) -> None: ...

class StartTap(_message.Message):
    __slots__ = ("id", "direction", "max_per_second")
    ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    MAX_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    id: str
    direction: Direction
    max_per_second: int
    def __init__(self, id: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., max_per_second: _Optional[int] = ...) -> None: ...

class StopTap(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Expect(_message.Message):
    __slots__ = ("token", "seconds")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    token: str
    seconds: int
    def __init__(self, token: _Optional[str] = ..., seconds: _Optional[int] = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("token", "seconds", "destination", "method", "path", "fields", "expected_at")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_AT_FIELD_NUMBER: _ClassVar[int]
    token: str
    seconds: int
    destination: str
    method: str
    path: str
    fields: _containers.RepeatedCompositeFieldContainer[SentField]
    expected_at: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token: _Optional[str] = ..., seconds: _Optional[int] = ..., destination: _Optional[str] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[SentField, _Mapping]]] = ..., expected_at: _Optional[_Iterable[str]] = ...) -> None: ...

class SentField(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Forget(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("token", "direction", "problem", "steps", "status", "reason", "route", "backend", "attempts", "answered_us", "ended_us", "body_bytes", "version", "began_unix_us", "cut")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_US_FIELD_NUMBER: _ClassVar[int]
    ENDED_US_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BEGAN_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    token: str
    direction: Direction
    problem: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    status: int
    reason: str
    route: str
    backend: str
    attempts: int
    answered_us: int
    ended_us: int
    body_bytes: int
    version: str
    began_unix_us: int
    cut: bool
    def __init__(self, token: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., problem: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ..., route: _Optional[str] = ..., backend: _Optional[str] = ..., attempts: _Optional[int] = ..., answered_us: _Optional[int] = ..., ended_us: _Optional[int] = ..., body_bytes: _Optional[int] = ..., version: _Optional[str] = ..., began_unix_us: _Optional[int] = ..., cut: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("depth", "kind", "name", "source", "began_us", "ended_us", "outcome", "status", "reason", "detail", "notes", "pod", "namespace", "address", "row")
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BEGAN_US_FIELD_NUMBER: _ClassVar[int]
    ENDED_US_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    depth: int
    kind: str
    name: str
    source: str
    began_us: int
    ended_us: int
    outcome: str
    status: int
    reason: str
    detail: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    pod: str
    namespace: str
    address: str
    row: int
    def __init__(self, depth: _Optional[int] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., source: _Optional[str] = ..., began_us: _Optional[int] = ..., ended_us: _Optional[int] = ..., outcome: _Optional[str] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ..., pod: _Optional[str] = ..., namespace: _Optional[str] = ..., address: _Optional[str] = ..., row: _Optional[int] = ...) -> None: ...
