"""Mirror: sends a copy of a share of the requests to another Service, whose answers are thrown away.

Owns the copies, and how many of them may be under way. Refuses to touch the original: it neither waits for a copy nor
is changed by one. Sits below retry, so that a request is copied when it is first sent, and never again; and above the
balancer, so that the copy finds an endpoint of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta
from tulle_plugin_api import (
    Body,
    Config,
    Duration,
    Exchange,
    Failure,
    Handler,
    Percent,
    Policy,
    Position,
    Response,
    Runtime,
    WrappedBody,
    duration,
    hookimpl,
)

COPY_BYTES = 64 * 1024
"""Of a body. A request whose body is longer is not copied: it would have to be kept whole."""

DRAIN_BYTES = 256 * 1024
"""Of an answer that are read, so that its connection can be used again; a longer one is broken off."""

COPY = "mirror.copy"
"""The attribute of an exchange that is a copy. Of several mirrors, one's copies pass through those below it, which must
not copy them again: the second would send two, the third four."""

Port = Annotated[int, Meta(ge=1, le=65535)]


class MirrorConfig(Config):
    """Where copies go, and how many."""

    service: Annotated[str, Meta(min_length=1, max_length=63)]
    """A Service's name, in the namespace of the Service that the policy applies to."""
    port: Port
    percent: Percent = 100
    """Of the requests."""
    namespace: Annotated[str, Meta(max_length=63)] = ""
    """Of that Service, where it is another than the called one's. Only from an HTTPRoute's RequestMirror filter, whose
    backend the control plane has allowed: of others the proxy has no endpoints, and copies nothing."""
    max_pending: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Copies under way at a time from one proxy; further ones are not made."""
    timeout: Duration = duration("10s")
    """Of a copy, its answer's body included."""


class Mirror(Policy[MirrorConfig]):
    """Copies requests."""

    config = MirrorConfig
    position = Position.TRY
    uses_trio = False

    def check(self, config: MirrorConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if "/" in config.service or "." in config.service:
            problems.append(f"service: the name of a Service in the same namespace, without it; got {config.service!r}")
        if config.timeout <= 0:
            problems.append("timeout: more than 0s, or copies to a target that hangs would stay for ever")
        return problems

    def backends(self, config: MirrorConfig) -> Sequence[tuple[str, int]]:
        """The Service that copies go to."""
        return ((config.service, config.port),) if not config.namespace else ()

    def build(self, config: MirrorConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, twice for a share of the requests."""
        chosen = _share(config.percent / 100, runtime.random.random)
        copies = _Copies(config, next, runtime)

        async def handle(exchange: Exchange) -> Response:
            conversation = exchange.upgrade or exchange.method == "CONNECT"  # a copy cannot have one
            if exchange.attempts or conversation or COPY in exchange.attributes or not chosen():
                return await next(exchange)  # a retry; a conversation; another mirror's copy; or not chosen
            body = exchange.body
            copy = copies.of(exchange)
            if isinstance(body, bytes):
                copies.send(copy, body)
                return await next(exchange)
            exchange.body = _Collected(body, copy, copies)
            try:
                return await next(exchange)
            finally:
                exchange.body = body  # who sends this one has it; another try reads it from its beginning

        return handle


def _share(share: float, chance: Callable[[], float]) -> Callable[[], bool]:
    """Says yes to this share of its calls, by chance and yet exactly: never a call more or less than it should be.

    Draws that know nothing of each other would be 1 % of all requests off in one of 20 runs of 10,000. Here what is
    due adds up, and the next yes comes when it passes a mark drawn between 0 and 1: on average at the right time, and
    out of step with any rhythm of the requests.
    """
    due, mark = 0.0, chance()

    def chosen() -> bool:
        nonlocal due, mark
        due += share
        if due <= mark:
            return False
        due -= 1
        mark = chance()
        return True

    return chosen


class _Copies:
    """Makes them, sends them beside everything else, and counts those under way."""

    def __init__(self, config: MirrorConfig, next: Handler, runtime: Runtime) -> None:
        self._next, self._runtime = next, runtime
        self._namespace, self._target = config.namespace, f"/{config.service}:{config.port}"
        self._seconds, self._most = float(config.timeout), config.max_pending
        self._pending = 0

    def of(self, exchange: Exchange) -> Exchange:
        """A copy as of now, but for its body: nothing that happens to one is seen by the other."""
        copy = Exchange(exchange.headers.copy())
        copy.protocol, copy.method, copy.path = exchange.protocol, exchange.method, exchange.path
        copy.authority, copy.destination, copy.service = exchange.authority, exchange.destination, exchange.service
        copy.source, copy.source_identity, copy.started = exchange.source, exchange.source_identity, exchange.started
        copy.route = exchange.route
        copy.attributes[COPY] = True
        namespace = exchange.service.namespace if exchange.service is not None else exchange.backend.partition("/")[0]
        copy.backend = (self._namespace or namespace) + self._target
        return copy

    def send(self, copy: Exchange, body: bytes) -> None:
        """Send a copy, unless too many are under way, or nobody could take it."""
        if len(body) > COPY_BYTES or self._pending >= self._most or not self._runtime.endpoints.all(copy.backend):
            self.drop()
            return
        copy.body = body
        copy.headers.remove("expect")  # all of the body is here
        if body and "content-length" not in copy.headers:  # the original came in chunks
            copy.headers.set("content-length", str(len(body)))
        self._pending += 1
        self._runtime.count("mirror_copies_total")
        self._runtime.spawn(self._send, copy)

    def drop(self) -> None:
        """A copy that is not made."""
        self._runtime.count("mirror_dropped_total")

    async def _send(self, copy: Exchange) -> None:
        try:
            with self._runtime.timeout(self._seconds):
                response = await self._next(copy)
                if not isinstance(response.body, bytes):
                    await _drain(response.body)
        except Failure:
            self._runtime.count("mirror_failures_total")
        finally:
            self._pending -= 1


async def _drain(body: Body) -> None:
    left = DRAIN_BYTES
    try:
        while left > 0 and (piece := await body.read()):
            left -= len(piece)
    finally:
        await body.aclose()


class _Collected(WrappedBody):
    """The original's body, as it is sent. Once all of it has been, the copy can go."""

    def __init__(self, inner: Body, copy: Exchange, copies: _Copies) -> None:
        super().__init__(inner)
        self._copy, self._copies = copy, copies
        self._pieces: list[bytes] | None = []  # None: the copy is sent, or given up
        self._size = 0

    async def read(self) -> bytes:
        piece = await self.inner.read()
        pieces = self._pieces
        if pieces is not None:
            self._size += len(piece)
            if not piece:
                self._pieces = None
                self._copies.send(self._copy, b"".join(pieces))
            elif self._size > COPY_BYTES:
                self._pieces = None
                self._copies.drop()
            else:
                pieces.append(piece)
        return piece


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `mirror`."""
    return {"mirror": Mirror()}
