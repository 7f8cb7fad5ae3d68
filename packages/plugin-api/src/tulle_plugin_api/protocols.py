"""What each kind of plugin is: Balancer, Policy, Exporter, Catalog, Check.

Owns the shapes. Refuses to know how the host finds them (hookspecs.py, loader.py) or runs them.
Subclass these classes: what has a body is optional, what is abstract is the job.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import msgspec

from tulle_plugin_api.exchange import Endpoint, Exchange, Handler
from tulle_plugin_api.runtime import Runtime


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """Base of a plugin's configuration: typed fields, required ones first, a docstring, nothing unknown accepted.

    >>> class TimeoutConfig(Config):
    ...     request: Duration
    """


ConfigT = TypeVar("ConfigT", bound=Config)


# --- balancers --------------------------------------------------------------------------------------------


class Balancer(ABC):
    """Chooses the endpoint of each try. One instance a backend and proxy; kept while endpoints come and go.

    Called on the hot path: no I/O, no waiting.
    """

    @abstractmethod
    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """One of `endpoints`, which is never empty and holds only those that may be used for this try."""

    def started(self, endpoint: Endpoint) -> None:
        """A try was sent to `endpoint`."""

    def finished(self, endpoint: Endpoint, seconds: float, failed: bool) -> None:
        """That try ended, after `seconds`; `failed`: no answer, or 5xx."""


BalancerFactory: TypeAlias = Callable[[Mapping[str, Any], Runtime], Balancer]
"""Given the MeshPolicy's `spec.config` without `name`, and the host. May raise ValueError to refuse the config."""


# --- policies ---------------------------------------------------------------------------------------------


class Position(IntEnum):
    """Where on a request's way a policy sits. Lower wraps higher; stack.py in the data plane says why."""

    PREFLIGHT = 5  # what a client asks before it may show who it is (CORS)
    AUTHORIZE = 10  # before anything is spent on the request
    LIMIT = 15  # how much of what is allowed; above all that costs something
    REQUEST = 20  # once per request
    TIMEOUT = 30  # bounds all tries together
    RETRY = 40  # below it, everything happens once per try
    TRY = 45  # once per try, before an endpoint is chosen
    ENDPOINT = 50  # once per try, the endpoint is known


OnFailure: TypeAlias = Literal["open", "closed"]


class Policy(ABC, Generic[ConfigT]):
    """Wraps a handler. `build` runs when configuration arrives, never per request."""

    config: ClassVar[type[Config]]
    """The configuration's type; its docstring and fields are the reference in docs and CRD."""

    position: ClassVar[Position] = Position.REQUEST
    direction: ClassVar[str] = "outbound"
    """Where it runs: "outbound" (at the client), "inbound" (at the server) or "both"."""

    uses_trio: ClassVar[bool] = True
    """False promises that the handler awaits only `next` and the `Runtime`: it then runs on the fast path."""

    patience: ClassVar[float] = 10.0
    """Seconds that a request may spend in the handler itself, not counting `next(exchange)`. Then it is given up."""

    def on_failure(self, config: ConfigT) -> OnFailure:
        """What becomes of a request when this policy goes wrong: raises, answers nonsense, never returns, is stuck.

        "closed" denies it (500, `policy-error`). "open" lets it go on as if the policy were not there; an answer that
        had come already is given to the client. A policy at AUTHORIZE is closed, whatever it says here.
        """
        return "closed"

    @abstractmethod
    def build(self, config: ConfigT, next: Handler, runtime: Runtime) -> Handler:
        """The handler that does this policy's work around `next`. May raise ValueError to refuse `config`."""

    def build_endpoint(self, config: ConfigT, next: Handler, runtime: Runtime) -> Handler:
        """A second part of this policy, once per try and with the endpoint known, whatever its `position`.

        Outbound only; it sits below the policies at ENDPOINT. For what needs two places (a timeout for all tries and
        one for each). The default has none, and `next` returned as it is costs nothing.
        """
        return next

    def backends(self, config: ConfigT) -> Sequence[tuple[str, int]]:
        """Other Services that this policy sends to: (name, port), in the namespace of the Service it applies to.

        The control plane then tells the proxy of their endpoints, as the backend "namespace/name:port".
        """
        return ()

    def check(self, config: ConfigT) -> list[str]:
        """Problems that types cannot express ("attempts: with 0 there is nothing to retry; at least 1")."""
        return []


# --- exporters --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExporterContext:
    """Who is exporting, and the exporter's own settings."""

    pod: str = ""
    namespace: str = ""
    workload: str = ""
    node: str = ""
    service_account: str = ""
    version: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """From `TULLE_EXPORTER_<NAME>_<OPTION>`, keys lower case: {"endpoint": "..."}."""
    counters: Callable[[], Mapping[str, float]] = field(default=dict)
    """The proxy's own counters and gauges, by metric name (`tulle_proxy_...`), read when called."""
    write_line: Callable[[bytes], None] | None = None
    """Where a line of log output goes (stdout of the proxy), given without its line break. Buffered by the host."""


class Exporter(ABC):
    """Turns exchanges into somebody's format. One instance a proxy."""

    spans: bool = False
    """True: it tells of spans. The proxy then takes part in traces, and gives exchanges their `span`."""

    @abstractmethod
    def observe(self, exchange: Exchange) -> None:
        """An exchange ended. On the hot path: count, or queue a tuple; no I/O. Raising is counted; often, disables."""

    def observer(self, like: Exchange) -> Callable[[Exchange], object]:
        """What observes exchanges of the same kind as `like` (kinds.py says what that is), instead of `observe`.

        Asked once for each kind, and again now and then. For what can be worked out once: which series, which words.
        """
        return self.observe

    def opened(self, exchange: Exchange) -> None:
        """A relayed connection (protocol "tcp") was opened; `observe` follows when it closes."""

    def collect(self) -> bytes | None:
        """Text for `GET /metrics`, in Prometheus's exposition format 0.0.4; None for exporters that push."""
        return None

    async def run(self) -> None:
        """A background task (trio), for exporters that push. Cancelled at the end; the default returns at once."""

    async def aclose(self) -> None:
        """Send what is still queued; has 2 seconds."""

    def counters(self) -> Mapping[str, float]:
        """The exporter's own counters, read when somebody looks: `{"dropped_total": 3}`.

        They appear among the proxy's as `tulle_proxy_exporter_dropped_total{exporter="NAME"}`.
        """
        return {}


ExporterFactory: TypeAlias = Callable[[ExporterContext], Exporter]


# --- catalogs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Upserted:
    """An object exists in this form now. Kubernetes-shaped: apiVersion, kind, metadata, spec, status."""

    object: Mapping[str, Any]


@dataclass(frozen=True)
class Deleted:
    """An object is gone."""

    kind: str
    namespace: str  # empty for objects without one
    name: str


@dataclass(frozen=True)
class Rejected:
    """A source could not be read; what it held before stays in force. `problem` empty: it is good again."""

    source: str  # "app.yaml", "HTTPRoute default/app-b"
    problem: str


@dataclass(frozen=True)
class Synced:
    """Everything that existed at the start has been told. Nothing is served before."""


CatalogEvent: TypeAlias = Upserted | Deleted | Rejected | Synced


@dataclass(frozen=True)
class Status:
    """What the control plane says of an object, in Kubernetes' shape, without times.

    A policy's: {"conditions": [{type, status, reason, message, observedGeneration}]}. A route's, for each parent that
    is a Service: {"parents": [{"parentRef": as the route has it, "conditions": [...]}]}.
    """

    kind: str
    namespace: str
    name: str
    status: Mapping[str, Any]


class Catalog(ABC):
    """Tells the control plane what exists. Runs under asyncio, since the control plane does."""

    @abstractmethod
    def events(self) -> AsyncIterator[CatalogEvent]:
        """Everything that exists, then `Synced`, then each change, for ever. Survives its source's absence."""

    def report(self, statuses: Sequence[Status]) -> None:
        """What is to be said of every route and policy, all of it each time that some of it changed.

        For a source that can hold it (a cluster). Called in the event loop, after `Synced`, at most twice a second:
        it may not wait. The default does nothing.
        """


CatalogFactory: TypeAlias = Callable[[Mapping[str, str]], Catalog]
"""Given the control plane's environment variables."""


# --- checks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckResult:
    """`ok`: True, False, or None for a warning. `hint`: what to do, when not ok."""

    ok: bool | None
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Check:
    """A line of `tulle check`."""

    category: str  # "kernel", "lab", "control plane"
    description: str  # "iptables can be run"
    run: Callable[[], CheckResult]
    before: bool = True  # makes sense before installation (`tulle check --pre`)
