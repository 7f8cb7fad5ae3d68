"""Fault: delays and failures on purpose, for experiments: what do callers do when this service is slow, or gone?

Owns the dice. Refuses to know what follows: an injected failure looks to the caller like any other, but says so in
`tulle-reason: fault`. On the client's side it sits above timeout and retry, which it would otherwise be hidden by;
on the server's side the client's whole policies see it, as they would see a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta
from tulle_plugin_api import (
    PROBE_ROUTE,
    Config,
    Duration,
    Exchange,
    Handler,
    Headers,
    Percent,
    Policy,
    Position,
    Refused,
    Response,
    Runtime,
    hookimpl,
)

SIDES = {"client": "outbound", "server": "inbound"}


class DelayConfig(Config):
    """Hold requests back."""

    time: Duration
    percent: Percent = 100


class AbortConfig(Config):
    """Answer in the service's stead."""

    status: Annotated[int, Meta(ge=400, le=599)]
    percent: Percent = 100


class FaultConfig(Config):
    """What to do to which requests. Delay and abort are decided one by one: some requests get both."""

    delay: DelayConfig | None = None
    abort: AbortConfig | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    """Only requests with all of these: a value, or "*" for any."""
    side: Literal["client", "server"] = "client"
    """Where it happens: in clients' proxies, where the mesh's retries do not see it, or in the service's own."""


class Fault(Policy[FaultConfig]):
    """Delays requests, and answers some of them with an error."""

    config = FaultConfig
    position = Position.REQUEST
    direction = "both"
    uses_trio = False

    def check(self, config: FaultConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if config.delay is None and config.abort is None:
            problems.append("delay, abort: neither is there; at least one, such as delay: {time: 2s, percent: 10}")
        if config.delay is not None and config.delay.time <= 0:
            problems.append("delay.time: more than 0s")
        for name in config.headers:
            try:
                Headers().get(name)
            except ValueError as error:
                problems.append(f"headers: {error}")
        return problems

    def build(self, config: FaultConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, for those that get so far."""
        if SIDES[config.side] != runtime.direction:
            return next
        delay, delayed = (float(config.delay.time), config.delay.percent / 100) if config.delay else (0.0, 0.0)
        status, aborted = (config.abort.status, config.abort.percent / 100) if config.abort else (0, 0.0)
        wanted = tuple(config.headers.items())
        count, chance = runtime.count, runtime.random.random  # below 1, so that 100 % is all of them

        async def handle(exchange: Exchange) -> Response:
            if (wanted and not _match(exchange, wanted)) or exchange.route == PROBE_ROUTE:
                return await next(exchange)  # not meant; or a kubelet's, who would restart the pod
            if chance() < delayed:
                count("fault_delays_total")
                await runtime.sleep(delay)
            if chance() < aborted:
                count("fault_aborts_total")
                raise Refused(status, "fault", "a fault policy answers so on purpose")
            return await next(exchange)

        return handle


def _match(exchange: Exchange, wanted: tuple[tuple[str, str], ...]) -> bool:
    for name, value in wanted:
        given = exchange.headers.get(name)
        if given is None or (value not in ("*", given)):
            return False
    return True


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `fault`."""
    return {"fault": Fault()}
