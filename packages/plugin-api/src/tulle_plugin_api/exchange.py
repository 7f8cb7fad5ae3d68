"""The exchange: one request, what is decided about it on its way, and its answer.

Owns the vocabulary that the proxy and its plugins share. Refuses to know any one version's framing: the same
`Exchange` is an HTTP/1.1 request, an HTTP/2 stream, or (protocol "tcp") a relayed connection.

One idea carries the data plane: a handler is `async (Exchange) -> Response`, and everything that happens to a
request is a function that wraps a handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from tulle_plugin_api.headers import Headers

if TYPE_CHECKING:
    from tulle_plugin_api.trace import Span

Direction: TypeAlias = Literal["inbound", "outbound"]


PROBE_ROUTE = "probe"
"""`Exchange.route` of a kubelet's health probe. No route of an object has this name: those have slashes."""


class Address(NamedTuple):
    """An IP address (no brackets) and a port."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Body(Protocol):
    """A body that is still arriving. Read by one reader, in order, until b"".

    One may also have `trailers: Headers | None`, known when it has been read to its end.
    """

    async def read(self) -> bytes:
        """The next piece, as it arrived; b"" at the end. Raises Failure when the peer broke off."""

    async def aclose(self) -> None:
        """Give up the rest. Never raises; may be called twice."""


@dataclass(frozen=True, slots=True)
class Service:
    """A logical destination: what the application meant to call."""

    name: str
    namespace: str
    port: int
    # fully qualified, with port: "app-b.default.svc.cluster.local:80"
    authority: str

    def __hash__(self) -> int:
        return hash(self.authority)  # says it all, and a string knows its hash


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance that can serve. Equal endpoints are the same instance, so balancers may key state by them."""

    address: Address
    pod: str = ""
    namespace: str = ""
    workload: str = ""
    zone: str = ""
    weight: int = 1
    meshed: bool = False
    labels: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __hash__(self) -> int:
        return hash(self.address)  # unique among those that exist at one time; counters hash endpoints per request


class Response:
    """An answer: status line, fields, body. A body that arrived whole is `bytes`."""

    __slots__ = ("agreed", "body", "headers", "reason", "status", "trailers")

    def __init__(
        self,
        status: int,
        headers: Headers | None = None,
        body: bytes | Body = b"",
        reason: str = "",  # by name, please, as `trailers`; a `*` would make every answer a third dearer
        trailers: Headers | None = None,
    ) -> None:
        self.agreed: tuple[bytes, bytes, int] | None = None  # the codec's note, see http1_client.py
        self.status = status  # 200 to 599; 101 for a connection that changed its protocol; 0 for "tcp"
        self.headers = headers if headers is not None else Headers()
        self.body = body
        self.trailers = trailers  # known once the body was read to its end
        self.reason = reason  # slug, where the proxy or a policy made this answer itself


NOWHERE = Address("", 0)


class Exchange:
    """One request on its way. Layers fill it in as they decide; exporters see it when it has ended.

    Fields with a default live on the class, so that making an exchange costs only what is set.
    Times are seconds on the runtime's monotonic clock (`Runtime.now`), 0.0 for "not yet".
    """

    direction: Direction = "outbound"
    protocol: str = "http/1.1"  # "http/1.1", "http/1.0", "h2", "tcp"

    # --- the request, as it arrived; policies may edit it -------------------------------------------
    method: str = ""
    path: str = ""  # the request target in origin form: "/cart?x=1"; "*" for OPTIONS *
    authority: str = ""  # Host or :authority: "app-b:80"
    headers: Headers
    body: bytes | Body = b""
    wants_trailers: bool = False  # the client reads trailers (RFC 9110 section 6.5.1)
    interim: Interim | None = None  # passes a 1xx answer on to the client, where it can read one
    upgrade: str = ""  # protocol that the client wants to change to, such as "websocket" (RFC 9110 section 7.8)

    # --- where it comes from and goes to ---------------------------------------------------------------
    source: Address
    source_identity: str = ""  # SPIFFE id that mutual TLS proved, else empty
    destination: Address  # as the application dialled it
    service: Service | None = None
    route: str = ""  # "namespace/name/rule", empty for the default route
    backend: str = ""  # "namespace/service:port"
    endpoint: Endpoint | None = None  # of the last try
    avoid: tuple[Endpoint, ...] = ()  # had their try: left out of balancing while there are others
    secured: bool = False  # mutual TLS on the network side of this proxy
    attempts: int = 0  # tries that were sent, or attempted, to an endpoint

    span: Span | None = None  # this proxy's part in a trace, where some exporter tells of spans

    # --- how it ended ----------------------------------------------------------------------------------
    started: float = 0.0  # head of the request complete
    answered: float = 0.0  # head of the answer complete
    ended: float = 0.0  # last byte of the answer handed over, or broken off
    status: int = 0  # as sent to the client; 0 when none was
    reason: str = ""  # slug; empty when the answer is the upstream's own
    request_bytes: int = 0  # body; for "tcp": client to server
    response_bytes: int = 0  # body; for "tcp": server to client
    aborted: bool = False  # broken off after the answer had begun (a reset, a truncated body)

    _notes: dict[str, object] | None = None

    def __init__(self, headers: Headers | None = None) -> None:
        self.headers = headers if headers is not None else Headers()
        self.source = self.destination = NOWHERE
        # What nearly everybody reads has its default here: on the class it takes five times as long to read.
        self.protocol = "http/1.1"
        self.body = b""
        self.wants_trailers = self.aborted = False
        self.upgrade = ""
        self.avoid = ()
        self.span = None
        self.attempts = self.request_bytes = 0

    @property
    def attributes(self) -> dict[str, object]:
        """Room for plugins to leave notes for one another. Keys start with the plugin's name: "retry.budget"."""
        if self._notes is None:
            self._notes = {}
        return self._notes

    @property
    def failed(self) -> bool:
        """Counts as failed for success rates: no answer, a 5xx, or broken off."""
        if self.protocol == "tcp":
            return self.aborted
        return self.status == 0 or self.status >= 500 or self.aborted


def _name_attributes() -> None:
    """CPython keeps an instance's attributes in an array, by the places that their names were given, and gives places
    to the first thirty names only, and only until some thirty instances exist. An instance with any other attribute has
    a dict of its own, which makes it half as dear again. So the names of nearly every request have their places now."""
    first = Exchange()
    for name in (
        "direction", "method", "path", "authority", "source_identity", "secured", "service", "interim", "route",
        "backend", "endpoint", "started", "answered", "ended", "status", "reason", "response_bytes",
    ):  # fmt: skip
        setattr(first, name, getattr(Exchange, name))


_name_attributes()

Interim: TypeAlias = Callable[[int, Headers], Awaitable[None]]
"""Given status (102 to 199) and fields. Never raises: a client that is gone is found out by the answer itself."""

Handler: TypeAlias = Callable[[Exchange], Awaitable[Response]]
