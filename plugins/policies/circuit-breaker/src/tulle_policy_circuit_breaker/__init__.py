"""Circuit breaker: leaves endpoints alone that fail, tries them again one request at a time, bounds what is under way.

Owns one circuit an endpoint (outlier detection, as Envoy calls it) and the limits of one backend. Refuses to know how
an endpoint is chosen: it says which ones are out (`runtime.endpoints`), and the balancer chooses among the rest.

    CLOSED --enough failures--> OPEN (ejected for a while) --first request after it--> HALF_OPEN (one probe)
       ^--------------------------- probe succeeds ---------------------------------------'  |
                                OPEN, for twice as long  <---------- probe fails ------------'

While a probe is under way its endpoint stays ejected, so that one request finds out, and not all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, field
from tulle_plugin_api import (
    Body,
    Config,
    Duration,
    Endpoint,
    Event,
    Exchange,
    Failure,
    Handler,
    Move,
    Percent,
    Policy,
    Position,
    Refused,
    Response,
    Runtime,
    WrappedBody,
    duration,
    hookimpl,
    pass_by,
)

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]

NOT_ITS_FAULT = frozenset({"client-reset", "body-timeout", "out-of-descriptors", "policy-error"})
"""Reasons of failures that say nothing about the endpoint."""


CONSECUTIVE, SUCCESS_RATE = "consecutive-failures", "success-rate"
"""Why an endpoint is ejected, as `circuit_breaker_ejections_total` says it; and "probe-failed"."""


class SuccessRateConfig(Config):
    """Eject an endpoint that fails too large a share of its requests."""

    percent: Percent = 50
    """Ejected below this share of successes. 0: never."""
    requests: Annotated[int, Meta(ge=1)] = 20
    """... if it had at least so many within `window`."""
    window: Duration = duration("10s")


class LimitsConfig(Config):
    """What one proxy has under way with the whole backend. 0: no limit."""

    connections: Count = 0
    """Requests under way, to the end of their answers: over HTTP/1.1 as many connections."""
    pending: Count = 0
    """How many more may wait for their turn, in order; the rest is refused with 503."""
    pending_timeout: Duration = duration("1s")
    """How long they wait."""


class CircuitBreakerConfig(Config):
    """When an endpoint is left alone, for how long, and how much may be under way."""

    consecutive_failures: Count = 5
    """Eject after so many failures (5xx or no answer) in a row. 0: never."""
    success_rate: SuccessRateConfig = field(default_factory=SuccessRateConfig)
    ejection: Duration = duration("30s")
    """The first time; doubled each time that the probe after it fails."""
    max_ejection: Duration = duration("5m")
    max_ejected_percent: Percent = 50
    """Of a backend's endpoints at a time. 100: when all are out, requests fail at once with 503 "circuit-open"."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)


class State(Enum):
    """Of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """One endpoint's. Pure; times in seconds are passed in. Whoever calls keeps the ejected share."""

    __slots__ = ("_config", "_failed", "_in_a_row", "_old", "_requests", "_since", "length", "state", "until")

    def __init__(self, config: CircuitBreakerConfig) -> None:
        self._config = config
        self.state = State.CLOSED
        self.until = 0.0  # OPEN until then; HALF_OPEN: the probe is given up then
        self.length = 0.0  # of the ejection, seconds
        self.reset(0.0)

    def reset(self, now: float) -> None:
        """Start to count afresh."""
        self._in_a_row = 0
        self._requests = self._failed = 0
        self._old = (0, 0)  # requests and failures of the half window before this one
        self._since = now

    def begins(self, now: float) -> bool:
        """A request is about to be sent; is it the probe?"""
        if self.state is State.CLOSED or now < self.until:
            return False
        self.state, self.until = State.HALF_OPEN, now + self.length
        return True

    def ends(self, now: float, failed: bool) -> str:
        """A request that was sent while CLOSED ended; why the endpoint should be ejected, or ""."""
        config, rate = self._config, self._config.success_rate
        if now - self._since >= rate.window / 2:
            fresh = now - self._since < rate.window
            self._old = (self._requests, self._failed) if fresh else (0, 0)
            self._requests, self._failed, self._since = 0, 0, now
        self._requests += 1
        if not failed:
            self._in_a_row = 0
            return ""
        self._failed += 1
        self._in_a_row += 1
        if 0 < config.consecutive_failures <= self._in_a_row:
            return CONSECUTIVE
        requests, failures = self._requests + self._old[0], self._failed + self._old[1]
        low = requests >= rate.requests and (requests - failures) * 100 < rate.percent * requests
        return SUCCESS_RATE if low else ""

    def open(self, now: float) -> float:
        """Eject; for how many seconds. Longer each time, until a probe has succeeded."""
        self.length = min(self._config.max_ejection, self.length * 2) if self.length else float(self._config.ejection)
        self.state, self.until = State.OPEN, now + self.length
        return self.length

    def close(self, now: float) -> None:
        """The probe succeeded."""
        self.state, self.length = State.CLOSED, 0.0
        self.reset(now)


class CircuitBreaker(Policy[CircuitBreakerConfig]):
    """Limits above the balancer; circuits below it, where the endpoint is known."""

    config = CircuitBreakerConfig
    position = Position.TRY
    uses_trio = False

    def check(self, config: CircuitBreakerConfig) -> list[str]:
        """What types cannot say."""
        first, longest, limits = config.ejection, config.max_ejection, config.limits
        nobody_waits = limits.pending > 0 and limits.connections == 0
        rows = (
            (first <= 0, "ejection: more than 0s; to eject nobody, set the thresholds to 0"),
            (longest < first, f"max_ejection: at least ejection, which is {first:g} s; got {longest:g} s"),
            (config.success_rate.window <= 0, "success_rate.window: more than 0s"),
            (nobody_waits, "limits.pending: nobody waits without limits.connections; set that, too"),
            (limits.pending_timeout <= 0, "limits.pending_timeout: more than 0s; or set limits.pending to 0"),
        )
        return [problem for wrong, problem in rows if wrong]

    def build(self, config: CircuitBreakerConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, for at most `config.limits.connections` requests at a time of each backend."""
        if not config.limits.connections:
            return next
        gates: dict[str, _Gate] = {}

        async def handle(exchange: Exchange) -> Response:
            gate = gates.get(exchange.backend)
            if gate is None:
                gate = gates[exchange.backend] = _Gate(config.limits, runtime)
            if gate.free > 0:
                gate.free -= 1
            else:
                await gate.turn()
            try:
                response = await next(exchange)
            except BaseException:
                gate.leave()
                raise
            if isinstance(response.body, bytes):
                gate.leave()
            else:
                response.body = _Leaving(response.body, gate)
            return response

        return handle

    def build_endpoint(self, config: CircuitBreakerConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, and what came of it is held against its endpoint."""
        if not config.consecutive_failures and not config.success_rate.percent:
            return next
        ward = _Ward(config, runtime)
        circuits, now = ward.circuits, runtime.now

        async def handle(exchange: Exchange) -> Response:
            endpoint, backend = exchange.endpoint, exchange.backend
            assert endpoint is not None
            circuit = circuits.get((backend, endpoint)) or ward.circuit(backend, endpoint)
            probe = False
            if circuit.state is not State.CLOSED:
                probe = ward.admit(backend, endpoint, circuit)
            failed: bool | None = None  # None: it says nothing about the endpoint
            try:
                response = await next(exchange)
                failed = response.status >= 500
                return response
            except Failure as failure:
                failed = None if isinstance(failure, Refused) or failure.reason in NOT_ITS_FAULT else True
                raise
            except Exception:
                failed = True  # the time for all tries was over, and this endpoint had not answered
                raise
            finally:
                if probe:
                    ward.probed(backend, endpoint, circuit, failed)
                elif failed is not None and circuit.state is State.CLOSED and (why := circuit.ends(now(), failed)):
                    ward.eject(backend, endpoint, circuit, why)

        return handle


class _Ward:
    """The circuits of one destination's endpoints, and how many of them may be open."""

    def __init__(self, config: CircuitBreakerConfig, runtime: Runtime) -> None:
        self._config, self._runtime = config, runtime
        self.circuits: dict[tuple[str, Endpoint], Circuit] = {}

    def circuit(self, backend: str, endpoint: Endpoint) -> Circuit:
        """A new one. Those of endpoints that have left are forgotten now and then."""
        known = self._runtime.endpoints.all(backend)
        if len(self.circuits) >= 2 * len(known) + 64:
            for key in [key for key in self.circuits if key[1] not in self._runtime.endpoints.all(key[0])]:
                del self.circuits[key]
        circuit = self.circuits[backend, endpoint] = Circuit(self._config)
        return circuit

    def admit(self, backend: str, endpoint: Endpoint, circuit: Circuit) -> bool:
        """A request came to an endpoint that is not CLOSED; is it the probe? Raises Refused where it may not pass."""
        now = self._runtime.now()
        if circuit.begins(now):
            self._runtime.count("circuit_breaker_probes_total")
            self._runtime.endpoints.eject(backend, endpoint, circuit.length)  # the others wait for this one's answer
            return True
        if self._config.max_ejected_percent == 100:
            # the balancer sends to an ejected endpoint only when there is no other
            self._runtime.count("circuit_breaker_refused_total")
            wait = max(1, int(circuit.until - now + 0.999))
            raise Refused(503, "circuit-open", f"every endpoint of {backend} is ejected", {"retry-after": str(wait)})
        return False

    def eject(self, backend: str, endpoint: Endpoint, circuit: Circuit, why: str) -> None:
        """Open the circuit, unless too many are open."""
        now = self._runtime.now()
        known = self._runtime.endpoints.all(backend)
        out = sum(1 for e in known if (c := self.circuits.get((backend, e))) and c.state is not State.CLOSED)
        if (out + 1) * 100 > self._config.max_ejected_percent * len(known):
            self._runtime.count("circuit_breaker_ejections_withheld_total")
            circuit.reset(now)  # or each further failure would look at all endpoints again
            return
        self._runtime.count("circuit_breaker_ejections_total", reason=why)
        self._runtime.endpoints.eject(backend, endpoint, circuit.open(now))

    def probed(self, backend: str, endpoint: Endpoint, circuit: Circuit, failed: bool | None) -> None:
        """The probe ended. One that says nothing leaves the endpoint for the next request to probe."""
        now = self._runtime.now()
        if failed:
            self._runtime.count("circuit_breaker_ejections_total", reason="probe-failed")
            self._runtime.endpoints.eject(backend, endpoint, circuit.open(now))
        elif failed is None:
            circuit.state, circuit.until = State.OPEN, now
            self._runtime.endpoints.readmit(backend, endpoint)
        else:
            circuit.close(now)
            self._runtime.count("circuit_breaker_readmissions_total")
            self._runtime.endpoints.readmit(backend, endpoint)


class _Gate:
    """So many at a time, so many more in a queue, first come first served."""

    def __init__(self, limits: LimitsConfig, runtime: Runtime) -> None:
        self._limits, self._runtime = limits, runtime
        self.free = limits.connections
        self._queue: deque[Event] = deque()

    async def turn(self) -> None:
        """Wait for a place, and take it. Raises Refused when the queue is full, or for too long."""
        if len(self._queue) >= self._limits.pending:
            raise self._refused(f"{self._limits.connections} requests are under way and {len(self._queue)} wait")
        mine = self._runtime.event()
        self._queue.append(mine)
        try:
            with self._runtime.timeout(float(self._limits.pending_timeout), _WAITED):
                await mine.wait()
        except BaseException as error:
            if mine in self._queue:
                self._queue.remove(mine)
            else:
                self.leave()  # it was given a place just as it gave up
            if isinstance(error, Failure):
                waited = f"waited {self._limits.pending_timeout:g} s for its turn"
                raise self._refused(waited) from None
            raise

    def leave(self) -> None:
        """Give a place back: to the first in the queue, if any."""
        if self._queue:
            self._queue.popleft().set()
        else:
            self.free += 1

    def _refused(self, why: str) -> Refused:
        self._runtime.count("circuit_breaker_overflow_total")
        return Refused(503, "overflow", why, {"retry-after": "1"})


_WAITED = "no turn in time"


class _Leaving(WrappedBody):
    """A body whose end, or abandonment, gives a place back."""

    def __init__(self, inner: Body, gate: _Gate) -> None:
        super().__init__(inner)
        self._gate: _Gate | None = gate

    async def read(self) -> bytes:
        try:
            piece = await self.inner.read()
        except BaseException:
            self._leave()
            raise
        if not piece:
            self._leave()
        return piece

    async def pass_by(self, move: Move) -> None:
        """The end is read; what comes before it may be unseen."""
        await pass_by(self.inner, move)

    async def aclose(self) -> None:
        self._leave()
        await self.inner.aclose()

    def _leave(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()

    def __del__(self) -> None:
        self._leave()  # a policy threw the answer away without closing it


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `circuit-breaker`."""
    return {"circuit-breaker": CircuitBreaker()}
