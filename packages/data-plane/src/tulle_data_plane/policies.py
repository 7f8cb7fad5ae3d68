"""Policies: puts plugins around handlers, with their configuration and their Runtime, and what contains their faults.

Owns the choice of the plugins that run on a side, their order, the way from a policy's or balancer's configuration to
its instance, and what stands around it: the crossing to trio where it needs trio, a guard where it is a stranger's or
fails open. What cannot be built is Rejected. Refuses to know where around a request they are put: that is stack.py's
and routes.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Balancer, Direction, Endpoints, Exchange, Handler, Policy, Position, Response, Runtime
from tulle_plugin_api.config import decode

from tulle_data_plane.background import Background
from tulle_data_plane.containment import in_words, must_go_on
from tulle_data_plane.driver import Driver
from tulle_data_plane.faults import Strikes
from tulle_data_plane.host import CrossedRuntime, DriverRuntime, Host

if TYPE_CHECKING:
    from tulle_data_plane.layers.guard import Guard


class Rejected(ValueError):
    """A configuration that this proxy cannot run. Says what is wrong and what would be right."""


Chosen = tuple[Policy[Any], pb.Policy]


def plugin(spec: pb.Policy, host: Host) -> Policy[Any]:
    """The plugin of that type. Raises Rejected where there is none."""
    policy: Policy[Any] = found(host, "policy", spec.type, f"{spec.source}: ")
    return policy


def chosen(specs: Iterable[pb.Policy], direction: str, host: Host) -> list[Chosen]:
    """The plugins that run in this direction, the outermost first."""
    pairs = ((plugin(spec, host), spec) for spec in specs)
    running = [pair for pair in pairs if pair[0].direction in (direction, "both")]
    return sorted(running, key=lambda pair: (pair[0].position, pair[1].type))


@dataclass
class Build:
    """Puts the policies of one destination or port around its handlers, and gives them their Runtime."""

    host: Host
    direction: Direction
    endpoints: Endpoints
    service: str  # whose policies they are: what is shared, is shared by its proxies
    backgrounds: list[Background] = field(default_factory=list)

    def __enter__(self) -> Build:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # one of them was refused: nothing of the others stays
            for background in self.backgrounds:
                background.end()

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
        owner = host.learn("policy", spec.type, policy)
        scope = f"{spec.source} {self.service}"
        background = Background(host, owner)
        self.backgrounds.append(background)
        try:
            config = decode(policy.config, json_of(spec.config, spec.source))
            guard = self._guard(policy, spec, config, owner)
            inner = next if guard is None else guard.below(next)
            if policy.uses_trio:
                # the crossing: the policy runs under trio, what it calls runs on the driver again
                inner = driver.off_trio(inner)
                built = build(config, inner, CrossedRuntime(host, self.direction, self.endpoints, background, scope))
            else:
                runtime = DriverRuntime(host, self.direction, self.endpoints, host.random, background, scope)
                built = build(config, inner, runtime)
            if not callable(built):
                raise TypeError(f"its {build.__name__} gave {type(built).__name__}, not a handler")
        except Rejected:
            raise
        except BaseException as error:
            if must_go_on(error):
                raise
            raise Rejected(f"{spec.source} (type {spec.type}): {said(error)}") from error
        if built is inner:
            return next  # it has nothing to do here, and need be neither crossed to nor guarded
        handler = _crossing(driver, built) if policy.uses_trio else built
        if guard is not None:
            handler = guard.around(handler, next)
        with suppress(TypeError):  # no weak reference to it can be had: then it is not explained
            host.named[handler] = spec.type, spec.source
        return handler

    def _guard(self, policy: Policy[Any], spec: pb.Policy, config: Any, owner: str) -> Guard | None:
        """None for the mesh's own that are closed: what they raise denies the request in `rescue` all the same."""
        host = self.host
        on_failure = policy.on_failure(config)
        if on_failure not in ("open", "closed"):
            raise ValueError(f"its on_failure gave {on_failure!r}; expected 'open' or 'closed'")
        fails_open = on_failure == "open" and policy.position != Position.AUTHORIZE
        if not fails_open and host.plugins.is_built_in("policy", spec.type):
            return None
        from tulle_data_plane.layers.guard import Guard  # a proxy without strangers does not load it

        guard = Guard(
            host.driver, host.faults, host.blame, owner, spec.type, fails_open=fails_open, patience=policy.patience
        )
        host.guards.add(guard)
        return guard


def _crossing(driver: Driver, built: Handler) -> Handler:
    async def crossing(exchange: Exchange) -> Response:
        return await driver.in_trio(built, exchange)

    return crossing


# --- plugins ------------------------------------------------------------------------------------------------------


def found(host: Host, kind: str, name: str, who: str = "") -> Any:
    """The plugin's policy or factory. Raises Rejected, beginning with `who`, saying why there is none."""
    there = host.plugins.find(kind, name)
    if there is None:
        for failed in host.plugins.failures:
            if failed.name == f"{kind}-{name}" and failed.name not in host.faults.rows:  # only now asked for
                host.faults.note(failed.name, "load", failed.error, "configurations that need it are refused")
        raise Rejected(f"{who}in this proxy {host.plugins.missing(kind, name)}")
    return there


def balancer_of(host: Host, name: str, made: object) -> Balancer:
    """What a balancer's factory made, with what contains its faults. Raises TypeError for what is no balancer."""
    if not isinstance(made, Balancer):
        raise TypeError(f"its factory gave {type(made).__name__}, not a tulle_plugin_api.Balancer")
    plugin = host.learn("balancer", name, made)
    if host.plugins.is_built_in("balancer", name):
        return made
    from tulle_data_plane.layers.contained import contained  # as with Guard

    strikes = Strikes(host.faults, plugin, host.driver.now)
    return contained(made, host.faults, host.blame, strikes, plugin, name, host.random)


def said(error: BaseException) -> str:
    """A ValueError is a sentence for whoever wrote the configuration; what else a plugin raises needs its kind."""
    return str(error) if isinstance(error, ValueError) else in_words(error)


def json_of(text: str, what: str) -> Any:
    """`text`, or {} for none. Raises Rejected; `what` it should have been."""
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError as error:
        raise Rejected(f"{what} is not JSON: {error}") from error
