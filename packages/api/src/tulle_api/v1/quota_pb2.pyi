from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseRequest(_message.Message):
    __slots__ = ("asks", "release")
    ASKS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    asks: _containers.RepeatedCompositeFieldContainer[QuotaAsk]
    release: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, asks: _Optional[_Iterable[_Union[QuotaAsk, _Mapping]]] = ..., release: _Optional[_Iterable[str]] = ...) -> None: ...

class QuotaAsk(_message.Message):
    __slots__ = ("quota", "requests", "per_seconds", "burst", "tokens", "taken")
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    quota: str
    requests: float
    per_seconds: float
    burst: float
    tokens: int
    taken: int
    def __init__(self, quota: _Optional[str] = ..., requests: _Optional[float] = ..., per_seconds: _Optional[float] = ..., burst: _Optional[float] = ..., tokens: _Optional[int] = ..., taken: _Optional[int] = ...) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("slices",)
    SLICES_FIELD_NUMBER: _ClassVar[int]
    slices: _containers.RepeatedCompositeFieldContainer[QuotaSlice]
    def __init__(self, slices: _Optional[_Iterable[_Union[QuotaSlice, _Mapping]]] = ...) -> None: ...

class QuotaSlice(_message.Message):
    __slots__ = ("quota", "tokens", "after_seconds", "sharers", "answer")
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHARERS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    quota: str
    tokens: int
    after_seconds: float
    sharers: int
    answer: bool
    def __init__(self, quota: _Optional[str] = ..., tokens: _Optional[int] = ..., after_seconds: _Optional[float] = ..., sharers: _Optional[int] = ..., answer: _Optional[bool] = ...) -> None: ...
