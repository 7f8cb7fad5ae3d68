"""HTTPRoute, GRPCRoute and ReferenceGrant (Gateway API v1), as they arrive.

Owns which of the Gateway API's fields Tulle honours. What it does not honour yet, it refuses by name, the route as
a whole: a filter or match that were ignored would send requests where nobody wanted them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from tulle_plugin_api.config import ConfigError

from tulle_control_plane.core.objects import BackendRef, GRPCRoute, HTTPRoute, ParentRef, ReferenceGrant, Rule
from tulle_control_plane.core.parse.shapes import (
    Items,
    Metadata,
    Port,
    StrictShape,
    check_name,
    many,
    read,
    read_metadata,
)

GATEWAY_GROUP = "gateway.networking.k8s.io"

_MATCHES_EVERYTHING: tuple[dict[str, Any], ...] = (
    {},
    {"path": {}},
    {"path": {"value": "/"}},
    {"path": {"type": "PathPrefix", "value": "/"}},
)
_NOT_YET = "is not supported by this version of Tulle; remove it (the route is refused whole until then)"


class _ParentRef(StrictShape, frozen=True):
    name: str
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    section_name: str | None = None
    port: Port | None = None


class _BackendRef(StrictShape, frozen=True):
    name: str
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    port: Port | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    filters: Items = None


class _Rule(StrictShape, frozen=True):
    name: str | None = None
    matches: Items = None
    filters: Items = None
    backend_refs: Items = None
    timeouts: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    session_persistence: dict[str, Any] | None = None


class _RouteSpec(StrictShape, frozen=True):
    parent_refs: Items = None
    # GEP-1294: hostnames say nothing in a mesh; the Service that was dialled does
    hostnames: list[str] | None = None
    rules: Items = None


class _GrantFrom(StrictShape, frozen=True):
    group: str
    kind: str
    namespace: str


class _GrantTo(StrictShape, frozen=True):
    group: str
    kind: str
    name: str | None = None


class _GrantSpec(StrictShape, frozen=True):
    from_: Items = msgspec.field(name="from", default=None)
    to: Items = None


def parse_http_route(obj: dict[str, Any]) -> HTTPRoute:
    """An HTTPRoute. Raises ConfigError with every problem found."""
    metadata = read_metadata(obj.get("metadata"))
    spec = read(_RouteSpec, obj.get("spec"), "spec")
    namespace = metadata.namespace or "default"
    parents = many(_ParentRef, spec.parent_refs, "spec.parentRefs")
    rules = many(_Rule, spec.rules, "spec.rules")
    problems: list[str] = []
    for index, rule in enumerate(rules):
        problems += _unsupported(rule, f"spec.rules[{index}]")
    if problems:
        raise ConfigError(problems)
    return HTTPRoute(
        namespace=namespace,
        name=metadata.name,
        created=metadata.created,
        parents=tuple(_parent(p, namespace, f"spec.parentRefs[{i}]") for i, p in enumerate(parents) if _is_service(p)),
        rules=tuple(_rule(rule, namespace, f"spec.rules[{i}]") for i, rule in enumerate(rules)) or (Rule(),),
    )


def parse_grpc_route(obj: dict[str, Any]) -> GRPCRoute:
    """A GRPCRoute: that it exists. Raises ConfigError."""
    metadata = read_metadata(obj.get("metadata"))
    return GRPCRoute(metadata.namespace or "default", metadata.name, metadata.created)


def parse_reference_grant(obj: dict[str, Any]) -> ReferenceGrant:
    """A ReferenceGrant; what it grants for other kinds than ours is left out. Raises ConfigError."""
    metadata: Metadata = read_metadata(obj.get("metadata"))
    spec = read(_GrantSpec, obj.get("spec"), "spec")
    return ReferenceGrant(
        namespace=metadata.namespace or "default",
        name=metadata.name,
        from_=tuple(
            (f.kind, f.namespace) for f in many(_GrantFrom, spec.from_, "spec.from") if f.group == GATEWAY_GROUP
        ),
        to=tuple((t.kind, t.name or "") for t in many(_GrantTo, spec.to, "spec.to") if t.group in ("", "core")),
    )


def _unsupported(rule: _Rule, path: str) -> list[str]:
    given: list[tuple[str, object]] = [
        # the API server fills in a match on the prefix "/", which matches everything
        ("matches", [m for m in rule.matches or () if m not in _MATCHES_EVERYTHING]),
        ("filters", rule.filters),
        ("timeouts", rule.timeouts),
        ("retry", rule.retry),
        ("sessionPersistence", rule.session_persistence),
    ]
    for index, backend in enumerate(rule.backend_refs or ()):
        if isinstance(backend, Mapping):
            given.append((f"backendRefs[{index}].filters", backend.get("filters")))
    return [f"{path}.{field} {_NOT_YET}" for field, value in given if value]


def _is_service(parent: _ParentRef) -> bool:
    # a Gateway as parent is somebody else's business; group "" is the core group, often left out by people
    return parent.kind == "Service" and parent.group in (None, "", "core")


def _parent(parent: _ParentRef, namespace: str, path: str) -> ParentRef:
    return ParentRef(
        service=(
            check_name(parent.namespace or namespace, f"{path}.namespace"),
            check_name(parent.name, f"{path}.name"),
        ),
        port=parent.port,
        section=parent.section_name or "",
    )


def _rule(rule: _Rule, namespace: str, path: str) -> Rule:
    backends = many(_BackendRef, rule.backend_refs, f"{path}.backendRefs")
    return Rule(
        name=check_name(rule.name, f"{path}.name") if rule.name else "",
        backends=tuple(_backend(b, namespace, f"{path}.backendRefs[{i}]") for i, b in enumerate(backends)),
    )


def _backend(backend: _BackendRef, namespace: str, path: str) -> BackendRef:
    kind = backend.kind or "Service"
    if backend.group not in (None, "", "core"):
        kind = f"{kind}.{backend.group}"
    if kind == "Service" and backend.port is None:
        raise ConfigError([f"{path}.port: missing; a Service as backend needs the number of one of its ports"])
    return BackendRef(
        service=(
            check_name(backend.namespace or namespace, f"{path}.namespace"),
            check_name(backend.name, f"{path}.name"),
        ),
        port=backend.port or 0,
        weight=1 if backend.weight is None else backend.weight,
        kind=kind,
    )
