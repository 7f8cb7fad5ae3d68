"""deadline: a request carries the time at which nobody will want its answer any more, and whoever is late stops.

The first proxy writes it (now + `budget`), later ones read it: what is late already is refused at once (504), what may
become late is given up when it is. So a chain of services does no work for a caller who has gone. gRPC does likewise
with `grpc-timeout`; this one is a point in time, in milliseconds since 1970, and wants clocks that agree.

Owns the field. Refuses to trust it further than `budget`: a client cannot buy itself more time than it has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from tulle_plugin_api import (
    PROBE_ROUTE,
    Config,
    Duration,
    Exchange,
    Handler,
    Headers,
    Policy,
    Position,
    Refused,
    Response,
    Runtime,
    TimedOut,
    duration,
    hookimpl,
)

TULLE_CONTRACT = 1

NUMBER = re.compile(r"[0-9]{1,15}")
wall = time.time  # tests put their own in its place


class DeadlineConfig(Config):
    """How long a caller waits, and where that is written."""

    budget: Duration = duration("10s")
    """The time that a request has which comes without a deadline; and the most that any has."""
    header: str = "x-deadline"
    """The field's name."""


class Deadline(Policy[DeadlineConfig]):
    """Writes, reads and keeps a request's deadline, at the client and at the server."""

    config = DeadlineConfig
    position = Position.REQUEST
    direction = "both"
    uses_trio = False

    def check(self, config: DeadlineConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if config.budget <= 0:
            problems.append('budget: more than 0s, such as "10s"')
        try:
            Headers().get(config.header)
        except ValueError as error:
            problems.append(f"header: {error}")
        return problems

    def build(self, config: DeadlineConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, in time."""
        name, budget = config.header, float(config.budget)

        async def handle(exchange: Exchange) -> Response:
            if exchange.route == PROBE_ROUTE:
                return await next(exchange)
            left = _left(exchange.headers.get(name), budget)
            if left <= 0:
                runtime.count("deadline_late_total")
                raise Refused(504, "deadline-passed", f"its deadline ({name}) passed {-left:.3f} s ago")
            exchange.headers.set(name, str(round((wall() + left) * 1000)))
            with runtime.timeout(left, TimedOut(f"nothing within the {left:.3f} s that were left of its deadline")):
                return await next(exchange)

        return handle


def _left(text: str | None, budget: float) -> float:
    """Seconds that are left; what cannot be read is as if it were not there."""
    if text is None or not NUMBER.fullmatch(text):
        return budget
    return min(budget, int(text) / 1000 - wall())


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `deadline`."""
    return {"deadline": Deadline()}
