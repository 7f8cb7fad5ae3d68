"""`Stub`: callables for every method of a protobuf service, from its descriptor, without importing protobuf.

Duck-typed: whatever has these attributes will do, as `google.protobuf` descriptors have.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from tulle_trio_grpc.channel import Channel


class MessageDescriptor(Protocol):
    """The part of a message descriptor that is needed."""

    @property
    def _concrete_class(self) -> Any:
        """The generated class, with SerializeToString and FromString."""


class MethodDescriptor(Protocol):
    """The part of a method descriptor that is needed."""

    @property
    def name(self) -> str:
        """`Watch`."""

    @property
    def input_type(self) -> MessageDescriptor:
        """Of the request."""

    @property
    def output_type(self) -> MessageDescriptor:
        """Of the reply."""

    @property
    def client_streaming(self) -> bool:
        """Whether there are many requests."""

    @property
    def server_streaming(self) -> bool:
        """Whether there are many replies."""


class ServiceDescriptor(Protocol):
    """The part of a service descriptor that is needed."""

    @property
    def full_name(self) -> str:
        """`tulle.v1.Discovery`."""

    @property
    def methods(self) -> Iterable[MethodDescriptor]:
        """All of them."""


class Stub:
    """`Stub(channel, discovery_pb2.DESCRIPTOR.services_by_name["Discovery"]).Watch` is a StreamStream, and so on.

    Every method of the service is an attribute under its own name; its kind (UnaryUnary, ...) follows the descriptor.
    """

    def __init__(self, channel: Channel, service: ServiceDescriptor) -> None:
        kinds: dict[tuple[bool, bool], Callable[..., Any]] = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        self._service = service.full_name
        self._methods = {
            method.name: kinds[bool(method.client_streaming), bool(method.server_streaming)](
                f"/{service.full_name}/{method.name}",
                method.input_type._concrete_class.SerializeToString,
                method.output_type._concrete_class.FromString,
            )
            for method in service.methods
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return self._methods[name]
        except KeyError:
            known = ", ".join(self._methods)
            raise AttributeError(f"service {self._service} has no method {name!r}; it has {known}") from None
