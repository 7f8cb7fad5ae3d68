"""What core hands out: everything that a proxy must know, as values; and their versions.

Owns the form of the answers, field by field that of discovery.proto (which explains each), and what a version is: a
hash of the content, so that equal states have equal versions, whoever computed them, in whatever order things came.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import msgspec

from tulle_control_plane.core.objects import Clients, Labels, Match, PluginFilter, Redirect, Rewrite, Session


class Protocol(IntEnum):
    """discovery.proto's Protocol, with the same numbers."""

    DETECT = 1
    HTTP1 = 2
    HTTP2 = 3
    OPAQUE = 4


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """A port of a Service."""

    name: str
    namespace: str
    port: int
    authority: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance that can serve."""

    address: str
    port: int
    pod: str = ""
    namespace: str = ""
    workload: str = ""
    zone: str = ""
    labels: Labels = ()
    meshed: bool = False
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Backend:
    """Where requests can go; `resolved` False where there is no such Service or port."""

    name: str
    service: ServiceRef
    resolved: bool = True
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy plugin's configuration as JSON, and the object that it comes from."""

    type: str
    source: str
    config: str


@dataclass(frozen=True, slots=True)
class MirrorTo:
    """A filter that copies requests to a backend of the destination."""

    service: ServiceRef
    percent: float


Filter: TypeAlias = PluginFilter | Redirect | Rewrite | MirrorTo


@dataclass(frozen=True, slots=True)
class Share:
    """A backend by name, its weight, and the filters for requests that go there."""

    backend: str
    weight: int
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A rule: where it sends, what it does on the way, and the policies that target it."""

    name: str
    backends: tuple[Share, ...]
    policies: tuple[Policy, ...] = ()
    filters: tuple[Filter, ...] = ()
    session: Session | None = None
    without_policies: tuple[str, ...] = ()
    source: str = ""  # the object that it comes from, "HTTPRoute default/app-b"


@dataclass(frozen=True, slots=True)
class Row:
    """A match and the index of the route that it leads to."""

    route: int
    match: Match
    clients: Clients


@dataclass(frozen=True, slots=True)
class Destination:
    """All that a client must know of one "address:port". The Service's own backend is always the first."""

    address: str
    known: bool = False
    service: ServiceRef | None = None
    protocol: Protocol = Protocol.DETECT
    routes: tuple[Route, ...] = ()
    backends: tuple[Backend, ...] = ()
    policies: tuple[Policy, ...] = ()
    balancer: str = ""
    balancer_config: str = ""
    rows: tuple[Row, ...] = ()  # in order of precedence


@dataclass(frozen=True, slots=True)
class InboundPort:
    """A port that the pod's own app listens on."""

    port: int
    service: ServiceRef | None = None
    protocol: Protocol = Protocol.DETECT
    policies: tuple[Policy, ...] = ()
    probe_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inbound:
    """All that a pod's proxy must know to receive."""

    ports: tuple[InboundPort, ...] = ()
    labels: Labels = ()


Result: TypeAlias = Destination | Inbound


def version_of(result: Result) -> str:
    """16 hexadecimal digits; equal for equal results, and (but for a chance of 2^-64) only for those."""
    return hashlib.blake2b(msgspec.json.encode(result), digest_size=8).hexdigest()
