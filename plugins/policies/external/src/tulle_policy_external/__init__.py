"""External: a server of your own, in any language, decides about each request, over gRPC (proto/tulle/v1/plugin.proto).

Owns the configuration, and what holds when the server does not decide. The conversation is link.py's, what is said
verdicts.py's: neither is loaded before a proxy builds the policy, so that webhook and control plane load no client.

What runs out of process cannot take the proxy with it: no exception, no endless loop, no leak of it ends here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

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
    duration,
    hookimpl,
)

LONGEST_TIMEOUT = 290.0
"""Seconds. A request is held for so long at most while a server decides."""

SIDES = {"client": "outbound", "server": "inbound"}
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/\[\]]+):([0-9]{1,5})")


class ExternalConfig(Config):
    """Who is asked, how long is waited, and what holds without an answer."""

    address: str
    """"host:port" of a server of tulle.v1.ExternalPolicy, as the proxy's pod can reach it."""
    config: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it
    """The server's own settings: it is given them once (`Check`), before it is asked about requests."""
    timeout: Duration = duration("200ms")
    """For connecting and the answer together; at most 290s."""
    on_failure: Literal["closed", "open"] = "closed"
    """Without an answer a request is refused (503), or goes on."""
    headers: tuple[str, ...] | None = None
    """The request's fields that the server is told of. By default all, cookies and credentials included."""
    side: Literal["client", "server"] = "server"
    """Asked by each server's proxy about what comes in, or by each client's about what goes out."""


class External(Policy[ExternalConfig]):
    """Does what a server says: go on, perhaps with other fields, or answer this instead."""

    config = ExternalConfig
    position = Position.AUTHORIZE
    direction = "both"
    patience = 300.0  # above LONGEST_TIMEOUT: it is this policy that gives a server up, never the proxy this policy

    def check(self, config: ExternalConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        address = _ADDRESS.fullmatch(config.address)
        if address is None or not 1 <= int(address[2]) <= 65535:
            problems.append(f'address: expected host:port, such as "judge.default:9000", got {config.address!r}')
        if config.timeout <= 0:
            problems.append('timeout: more than 0s, such as "200ms"')
        if config.timeout > LONGEST_TIMEOUT:
            problems.append(
                f"timeout: at most {LONGEST_TIMEOUT:g}s, got {config.timeout:g}s; for longer, let the server answer at "
                "once and decide beside it"
            )
        for name in config.headers or ():
            try:
                Headers().get(name)
            except ValueError as error:
                problems.append(f"headers: {error}")
        return problems

    def build(self, config: ExternalConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, for what the server lets go on."""
        if SIDES[config.side] != runtime.direction:
            return next
        from tulle_policy_external.link import Link, Undecided
        from tulle_policy_external.verdicts import carry_out, question

        link = Link(runtime, config)
        without = f"the external policy at {config.address} did not decide"
        for name in ("asked", "failures", "answers"):
            runtime.count(f"external_{name}_total", 0)

        async def handle(exchange: Exchange) -> Response:
            if exchange.route == PROBE_ROUTE:  # a server that is away must not restart every pod that asks it
                return await next(exchange)
            runtime.count("external_asked_total")
            try:
                answer = carry_out(await link.ask(question(exchange, config.headers)), exchange)
            except Undecided as error:
                link.failed(error)
                runtime.count("external_failures_total")
                if config.on_failure == "closed":
                    raise Refused(503, "external-unavailable", without) from None
                return await next(exchange)
            link.decided()
            if answer is None:
                return await next(exchange)
            runtime.count("external_answers_total")
            return answer

        return handle


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `external`."""
    return {"external": External()}
