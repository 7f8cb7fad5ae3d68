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
  route        decides which policies and filters     route      (one a port)
               apply, and for which backend: routes.py
  policies     PREFLIGHT, AUTHORIZE, LIMIT, REQUEST:  policies
               once a request, first of all those
               that spend nothing on it
  filters      of the route and the backend: what     -
               is refused above is not redirected
  timeout      bounds all tries together              timeout
  retry        below it, everything is once a try     -
  try          policies that count tries              -
  mirrors      of the route: below retry, so that     -
               what is sent twice is copied once
  balance      each try may go elsewhere              -          there is one application
  endpoint     policies that must know the endpoint,  -
               then the endpoint parts of others
  dial         a kept or a new connection             dial       (as the application)

Opaque connections have the same order with what can apply to them: route > balance > dial.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import AF_INET, AF_INET6, inet_pton

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import (
    Address,
    Endpoint,
    Exchange,
    Handler,
    Response,
    Service,
)
from tulle_plugin_api.balancing import split

from tulle_data_plane.background import Background
from tulle_data_plane.containment import must_go_on
from tulle_data_plane.host import Host
from tulle_data_plane.layers.balance import Backend, balance
from tulle_data_plane.layers.dial import as_app, dial_http1, dial_tcp
from tulle_data_plane.layers.endpoints import NO_ENDPOINTS
from tulle_data_plane.layers.probe import probe
from tulle_data_plane.layers.rescue import rescue
from tulle_data_plane.policies import Build, Rejected, balancer_of, chosen, found, json_of, said
from tulle_data_plane.routes import Chain, ChainKey, Routes

__all__ = ["Rejected", "Target", "inbound", "outbound", "pass_through"]

DEFAULT_BALANCER = "round-robin"


@dataclass
class Target:
    """What connections to one destination are served with. Replaced whole, but for its backends' endpoints."""

    service: Service | None
    protocol: int  # discovery.proto's Protocol
    handler: Handler  # of HTTP requests
    tcp_handler: Handler  # of opaque connections: answers with a Tunnel
    backends: dict[str, Backend] = field(default_factory=dict)
    backgrounds: list[Background] = field(default_factory=list)  # of its policies, but for those in chains
    routed: bytes = b""  # what the handlers were built from: the message without endpoints, serialized
    known: bool = True
    balancer: tuple[str, str] = ("", "")
    chains: dict[ChainKey, Chain] = field(default_factory=dict)
    users: int = 0  # connections that are served with it now
    last_used: float = 0.0

    @property
    def addresses(self) -> set[Address]:
        """Where its endpoints are."""
        return {endpoint.address for backend in self.backends.values() for endpoint in backend.endpoints}

    def become(self, other: Target) -> None:
        """Take over everything that `other` decides; connections that hold this target use it from the next request."""
        self.end(other)
        for name in (
            "service", "protocol", "handler", "tcp_handler", "backends", "backgrounds", "routed", "known", "balancer",
            "chains",
        ):  # fmt: skip
            setattr(self, name, getattr(other, name))

    def end(self, other: Target | None = None) -> None:
        """What its policies have under way beside requests has had its time soon, but for what `other` goes on with."""
        kept = other.chains if other is not None else {}
        left = [chain for key, chain in self.chains.items() if kept.get(key) is not chain]
        for background in (*self.backgrounds, *(each for chain in left for each in chain.backgrounds)):
            background.end_soon()


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
        with _no_collector():
            target = _build_outbound(message, host, endpoints, before)
        target.routed = routed
    else:
        target = before
    for backend in message.backends:
        target.backends[backend.name].update(backend.resolved, endpoints[backend.name])
    return target


@contextmanager
def _no_collector() -> Iterator[None]:
    """What is built is there to stay. Looked through for cycles again and again while it grows, thousands of rules
    would take half as long again, in which nobody is served."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _build_outbound(
    message: pb.Destination, host: Host, endpoints: Mapping[str, Sequence[Endpoint]], before: Target | None
) -> Target:
    backends: dict[str, Backend] = {}
    balancer = message.balancer or DEFAULT_BALANCER
    make = found(host, "balancer", balancer)
    kept = before.backends if before is not None and before.balancer == (balancer, message.balancer_config) else {}
    for backend in message.backends:
        if backend.name in kept:  # its balancer goes on with what it has learnt
            backends[backend.name] = kept[backend.name]
            continue
        try:
            config = json_of(message.balancer_config, f"configuration of balancer {balancer}")
            shared, own = split(config)
            instance = balancer_of(host, balancer, make(own, host.runtime))
        except Rejected:
            raise
        except BaseException as error:
            if must_go_on(error):
                raise
            raise Rejected(f"balancer {balancer}: {said(error)}") from error
        backends[backend.name] = Backend(
            backend.name, backend.resolved, instance, endpoints[backend.name], shared,
            zone=host.settings.zone, random=host.random,
        )  # fmt: skip
        if before is not None and backend.name in before.backends:
            backends[backend.name].inherit(before.backends[backend.name])
    same = backends == kept
    if before is not None and same:
        backends = before.backends  # the very one, so that handlers which were built with it can be kept

    connected = balance(backends, host.driver.now, dial_tcp(host.outbound_pool), ejected=host.ejected)
    routes = Routes(message, host, backends, before.chains if before is not None and same else {})
    requests, connections = routes.handlers(connected)
    return Target(
        service=_service(message.service),
        protocol=message.protocol,
        handler=rescue(_traced(host, requests), host.unforeseen),
        tcp_handler=connections,
        backends=backends,
        backgrounds=routes.backgrounds,
        balancer=(balancer, message.balancer_config),
        chains=routes.chains,
    )


def pass_through(host: Host) -> Target:
    """For destinations that are not in the mesh: bytes as they are, to where they were going.

    Connections that were HTTP while the destination was known go on as such, to where they were going.
    """
    http = _to_destination(dial_http1(host.driver, host.outbound_pool, host.answers, trust_reason=False))
    tcp = _to_destination(dial_tcp(host.outbound_pool))
    return Target(None, pb.PROTOCOL_OPAQUE, rescue(http, host.unforeseen), tcp, known=False)


# --- inbound ----------------------------------------------------------------------------------------------------


def inbound(port: pb.InboundPort, host: Host) -> Target:
    """The target for one of the pod's own ports. Raises Rejected."""
    service = _service(port.service) if port.service.name else None
    dialled = as_app(_to_destination(dial_http1(host.driver, host.inbound_pool, host.answers, trust_reason=False)))
    connected = as_app(_to_destination(dial_tcp(host.inbound_pool)))
    mine = f"{host.settings.pod_namespace}/{host.settings.workload}:{port.port}"  # where no Service has the port
    with Build(host, "inbound", NO_ENDPOINTS, service.authority if service else mine) as build:
        wrapped = build.wrapped(chosen(port.policies, "inbound", host), dialled)
    handler = rescue(_traced(host, wrapped), host.unforeseen)
    return Target(
        service=service,
        protocol=port.protocol or pb.PROTOCOL_DETECT,
        handler=probe(frozenset(port.probe_paths), handler) if port.probe_paths else handler,
        tcp_handler=connected,
        backgrounds=build.backgrounds,
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


# --- translation ----------------------------------------------------------------------------------------------------


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
