"""The stack: which layers a request passes, in travel order, and why each sits where it does.

Owns composition. Runs when configuration arrives, never per request: what comes out is one handler a route, swapped
whole. Requests in flight finish on the handler they began with.

  outbound                                          inbound
  (telemetry)  around everything: an exchange         (telemetry)
               ends with its last byte, so the
               codec tells observers, not a layer
  rescue       turns every failure below into an      rescue
               answer, so telemetry sees a status
  trace        below rescue, above all that may        trace
               fail: a refused request has a span
  route        decides which policies apply, and      route      (one a port)
               for which backend
  policies     PREFLIGHT, AUTHORIZE, LIMIT, REQUEST:  policies
               once a request, first of all those
               that spend nothing on it
  timeout      bounds all tries together              timeout
  retry        below it, everything is once a try     -
  try          policies that count tries              -
  balance      each try may go elsewhere              -          there is one application
  endpoint     policies that must know the endpoint,  -
               then the endpoint parts of others
  dial         a kept or a new connection             dial       (as the application)

Opaque connections have the same order with what can apply to them: route > balance > dial.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import msgspec
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import (
    Address,
    Direction,
    Endpoint,
    Endpoints,
    Exchange,
    Handler,
    Policy,
    Position,
    Response,
    Runtime,
    Service,
)
from tulle_plugin_api.balancing import split
from tulle_plugin_api.config import decode

from tulle_data_plane.containment import must_go_on
from tulle_data_plane.host import CrossedRuntime, DriverRuntime, Host
from tulle_data_plane.layers.balance import Backend, balance
from tulle_data_plane.layers.dial import as_app, dial_http1, dial_tcp
from tulle_data_plane.layers.endpoints import NO_ENDPOINTS, BackendEndpoints
from tulle_data_plane.layers.probe import probe
from tulle_data_plane.layers.rescue import rescue
from tulle_data_plane.layers.route import route

DEFAULT_BALANCER = "round-robin"


class Rejected(ValueError):
    """A configuration that this proxy cannot run. Says what is wrong and what would be right."""


@dataclass
class Target:
    """What connections to one destination are served with. Replaced whole, but for its backends' endpoints."""

    service: Service | None
    protocol: int  # discovery.proto's Protocol
    handler: Handler  # of HTTP requests
    tcp_handler: Handler  # of opaque connections: answers with a Tunnel
    backends: dict[str, Backend] = field(default_factory=dict)
    routed: bytes = b""  # what the handlers were built from: the message without endpoints, serialized
    known: bool = True
    users: int = 0  # connections that are served with it now
    last_used: float = 0.0

    @property
    def addresses(self) -> set[Address]:
        """Where its endpoints are."""
        return {endpoint.address for backend in self.backends.values() for endpoint in backend.endpoints}

    def become(self, other: Target) -> None:
        """Take over everything that `other` decides; connections that hold this target use it from the next request."""
        for name in ("service", "protocol", "handler", "tcp_handler", "backends", "routed", "known"):
            setattr(self, name, getattr(other, name))


# --- outbound -------------------------------------------------------------------------------------------------


def outbound(message: pb.Destination, host: Host, before: Target | None) -> Target:
    """The target for a destination. Raises Rejected, having changed nothing.

    Where only endpoints differ from `before`, it is updated in place, so that balancers keep what they have learnt.
    """
    routed = _without_endpoints(message)
    endpoints = {backend.name: [_endpoint(e) for e in backend.endpoints] for backend in message.backends}
    if len(endpoints) < len(message.backends):
        raise Rejected(f"a backend of {message.address} is there twice: {[b.name for b in message.backends]}")
    if before is None or before.routed != routed:
        target = _build_outbound(message, host, endpoints, before)
        target.routed = routed
    else:
        target = before
    for backend in message.backends:
        target.backends[backend.name].update(backend.resolved, endpoints[backend.name])
    return target


def _build_outbound(
    message: pb.Destination, host: Host, endpoints: Mapping[str, Sequence[Endpoint]], before: Target | None
) -> Target:
    backends: dict[str, Backend] = {}
    balancer = message.balancer or DEFAULT_BALANCER
    make = host.plugins.find("balancer", balancer)
    if make is None:
        there = host.plugins.names("balancer")
        raise Rejected(f"balancer {balancer!r} is not installed in this proxy; there are {there}")
    for backend in message.backends:
        try:
            config = _json(message.balancer_config, f"configuration of balancer {balancer}")
            shared, own = split(config)
            instance = make(own, host.runtime)
        except Rejected:
            raise
        except BaseException as error:
            if must_go_on(error):
                raise
            said = error if isinstance(error, ValueError) else repr(error)
            raise Rejected(f"balancer {balancer}: {said}") from error
        backends[backend.name] = Backend(
            backend.name, backend.resolved, instance, endpoints[backend.name], shared,
            zone=host.settings.zone, random=host.runtime.random,
        )  # fmt: skip
        if before is not None and backend.name in before.backends:
            backends[backend.name].inherit(before.backends[backend.name])

    connected = balance(backends, host.driver.now, dial_tcp(host.outbound_pool))
    random = host.runtime.random

    routes = list(message.routes) or [
        pb.Route(backends=[pb.WeightedBackend(backend=b.name, weight=1) for b in message.backends[:1]])
    ]
    # More than the weights of a single route needs matching, which comes with the rest of the Gateway API.
    if len(routes) > 1:
        raise Rejected(f"{len(routes)} routes for {message.address}: this proxy knows one a destination")
    (only,) = routes
    for share in only.backends:
        if share.backend not in backends:
            raise Rejected(f"route {only.name} names the backend {share.backend!r}, which is not in the configuration")
    shares = [(share.backend, share.weight) for share in only.backends]
    nearest = {policy.type: policy for policy in (*message.policies, *only.policies)}
    policies = _policies(nearest.values(), "outbound", host)
    once = [chosen for chosen in policies if chosen[0].position < Position.ENDPOINT]
    each_try = [chosen for chosen in policies if chosen[0].position >= Position.ENDPOINT]
    build = Build(host, "outbound", BackendEndpoints(backends, host.driver.now))

    dialled = dial_http1(host.driver, host.outbound_pool, host.answers, trust_reason=True)
    at_endpoint = build.wrapped(each_try, build.endpoint_parts(policies, dialled))
    balanced = balance(backends, host.driver.now, at_endpoint)
    return Target(
        service=_service(message.service),
        protocol=message.protocol,
        handler=rescue(_traced(host, route(only.name, shares, random, build.wrapped(once, balanced)))),
        tcp_handler=route(only.name, shares, random, connected),
        backends=backends,
    )


def pass_through(host: Host) -> Target:
    """For destinations that are not in the mesh: bytes as they are, to where they were going.

    Connections that were HTTP while the destination was known go on as such, to where they were going.
    """
    http = _to_destination(dial_http1(host.driver, host.outbound_pool, host.answers, trust_reason=False))
    tcp = _to_destination(dial_tcp(host.outbound_pool))
    return Target(None, pb.PROTOCOL_OPAQUE, rescue(http), tcp, known=False)


# --- inbound ----------------------------------------------------------------------------------------------------


def inbound(port: pb.InboundPort, host: Host) -> Target:
    """The target for one of the pod's own ports. Raises Rejected."""
    service = _service(port.service) if port.service.name else None
    dialled = as_app(_to_destination(dial_http1(host.driver, host.inbound_pool, host.answers, trust_reason=False)))
    connected = as_app(_to_destination(dial_tcp(host.inbound_pool)))
    build = Build(host, "inbound", NO_ENDPOINTS)
    handler = rescue(_traced(host, build.wrapped(_policies(port.policies, "inbound", host), dialled)))
    return Target(
        service=service,
        protocol=port.protocol or pb.PROTOCOL_DETECT,
        handler=probe(frozenset(port.probe_paths), handler) if port.probe_paths else handler,
        tcp_handler=connected,
    )


def _to_destination(next: Handler) -> Handler:
    def handler(exchange: Exchange) -> Awaitable[Response]:
        exchange.endpoint = Endpoint(exchange.destination)
        exchange.attempts += 1
        return next(exchange)

    return handler


def _traced(host: Host, next: Handler) -> Handler:
    if host.tracer is None:
        return next
    from tulle_data_plane.layers.trace import trace  # a proxy that traces nothing does not load it

    return trace(host.tracer, next)


# --- policies -----------------------------------------------------------------------------------------------------


Chosen = tuple[Policy[Any], pb.Policy]


def _policies(specs: Iterable[pb.Policy], direction: str, host: Host) -> list[Chosen]:
    """The plugins that run in this direction, the outermost first."""
    chosen: list[Chosen] = []
    for spec in specs:
        policy = host.plugins.find("policy", spec.type)
        if policy is None:
            raise Rejected(
                f"{spec.source}: policy type {spec.type!r} is not installed in this proxy; "
                f"there are {host.plugins.names('policy')}"
            )
        if policy.direction in (direction, "both"):
            chosen.append((policy, spec))
    return sorted(chosen, key=lambda pair: (pair[0].position, pair[1].type))


@dataclass
class Build:
    """Puts the policies of one destination or port around its handlers, and gives them their Runtime."""

    host: Host
    direction: Direction
    endpoints: Endpoints

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
        try:
            config = decode(policy.config, _json(spec.config, spec.source))
            if not policy.uses_trio:
                return build(config, next, DriverRuntime(host, self.direction, self.endpoints, host.runtime.random))
            # the crossing: the policy runs under trio, what it calls runs on the driver again
            off = driver.off_trio(next)
            built = build(config, off, CrossedRuntime(host, self.direction, self.endpoints))
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


# --- translation ----------------------------------------------------------------------------------------------------


def _json(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError as error:
        raise Rejected(f"{what} is not JSON: {error}") from error


def _without_endpoints(message: pb.Destination) -> bytes:
    bare = pb.Destination()
    bare.CopyFrom(message)
    for backend in bare.backends:
        del backend.endpoints[:]
        backend.resolved = False
    return bare.SerializeToString(deterministic=True)


def _service(message: pb.Service) -> Service:
    return Service(message.name, message.namespace, message.port, message.authority)


def _endpoint(message: pb.Endpoint) -> Endpoint:
    try:
        inet_pton(AF_INET6 if ":" in message.address else AF_INET, message.address)
    except OSError:
        # to connect to a name would look it up, and everybody would wait for that
        raise Rejected(f"endpoint {message.pod}: {message.address!r} is not an IP address") from None
    if not 0 < message.port < 65536:
        raise Rejected(f"endpoint {message.pod}: a port is 1 to 65535, not {message.port}")
    return Endpoint(
        Address(message.address, message.port),
        pod=message.pod,
        namespace=message.namespace,
        workload=message.workload,
        zone=message.zone,
        weight=message.weight or 1,
        meshed=message.meshed,
        labels=tuple(sorted(message.labels.items())),
    )
