"""Policies: puts plugins around handlers, with their configuration and their Runtime.

Owns the choice of the plugins that run on a side, their order, and what is said of one that cannot be run. Refuses to
know where around a request they are put: that is stack.py's and routes.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Direction, Endpoints, Exchange, Handler, Policy, Response, Runtime
from tulle_plugin_api.config import decode

from tulle_data_plane.containment import must_go_on
from tulle_data_plane.host import CrossedRuntime, DriverRuntime, Host


class Rejected(ValueError):
    """A configuration that this proxy cannot run. Says what is wrong and what would be right."""


Chosen = tuple[Policy[Any], pb.Policy]


def plugin(spec: pb.Policy, host: Host) -> Policy[Any]:
    """The plugin of that type. Raises Rejected where it is not installed."""
    policy: Policy[Any] | None = host.plugins.find("policy", spec.type)
    if policy is None:
        raise Rejected(
            f"{spec.source}: policy type {spec.type!r} is not installed in this proxy; "
            f"there are {host.plugins.names('policy')}"
        )
    return policy


def chosen(specs: Iterable[pb.Policy], direction: str, host: Host) -> list[Chosen]:
    """The plugins that run in this direction, the outermost first."""
    found: list[Chosen] = []
    for spec in specs:
        policy = plugin(spec, host)
        if policy.direction in (direction, "both"):
            found.append((policy, spec))
    return sorted(found, key=lambda pair: (pair[0].position, pair[1].type))


@dataclass
class Build:
    """Puts the policies of one destination or port around its handlers, and gives them their Runtime."""

    host: Host
    direction: Direction
    endpoints: Endpoints
    service: str  # whose policies they are: what is shared, is shared by its proxies

    def wrapped(self, policies: Sequence[Chosen], innermost: Handler) -> Handler:
        """`innermost` within these policies, the first of them outermost."""
        handler = innermost
        for policy, spec in reversed(policies):
            handler = self._wrap(policy, spec, policy.build, handler)
        return handler

    def endpoint_parts(self, policies: Sequence[Chosen], innermost: Handler) -> Handler:
        """`innermost` within the endpoint parts of those policies that have one, by type."""
        handler = innermost
        for policy, spec in sorted(policies, key=lambda pair: pair[1].type, reverse=True):
            if type(policy).build_endpoint is not Policy.build_endpoint:
                handler = self._wrap(policy, spec, policy.build_endpoint, handler)
        return handler

    def _wrap(
        self, policy: Policy[Any], spec: pb.Policy, build: Callable[[Any, Handler, Runtime], Handler], next: Handler
    ) -> Handler:
        host, driver = self.host, self.host.driver
        scope = f"{spec.source} {self.service}"
        try:
            config = decode(policy.config, json_of(spec.config, spec.source))
            if not policy.uses_trio:
                runtime = DriverRuntime(host, self.direction, self.endpoints, host.runtime.random, scope)
                return build(config, next, runtime)
            # the crossing: the policy runs under trio, what it calls runs on the driver again
            off = driver.off_trio(next)
            built = build(config, off, CrossedRuntime(host, self.direction, self.endpoints, scope))
        except Rejected:
            raise
        except BaseException as error:
            if must_go_on(error):
                raise
            said = error if isinstance(error, ValueError) else repr(error)
            raise Rejected(f"{spec.source} (type {spec.type}): {said}") from error
        if built is off:
            return next  # it has nothing to do here, and need not be crossed to

        async def crossing(exchange: Exchange) -> Response:
            return await driver.in_trio(built, exchange)

        return crossing


def json_of(text: str, what: str) -> Any:
    """`text` as JSON, {} for none. Raises Rejected."""
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError as error:
        raise Rejected(f"{what} is not JSON: {error}") from error
