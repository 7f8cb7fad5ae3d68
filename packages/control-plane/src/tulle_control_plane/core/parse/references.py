"""References of routes to Services, as they arrive: parents, backends, mirrors; and the clients that a route is for.

Owns how a reference is read. A backend may also be a Subset: `{group: tulle.dev, kind: Subset, name: app-b.v2, port:
80}` is the pods of Service app-b with the label `version: v2`, with no object of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from tulle_plugin_api.config import ConfigError, did_you_mean

from tulle_control_plane.core.objects import BackendRef, Clients, ParentRef
from tulle_control_plane.core.parse.shapes import Items, Metadata, Port, StrictShape, check_name, read

Weight = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
SUBSET = ("tulle.dev", "Subset")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

FROM = "tulle.dev/from-"
FROM_LABELS, FROM_NAMESPACES, FROM_ACCOUNTS = f"{FROM}labels", f"{FROM}namespaces", f"{FROM}service-accounts"


class ParentShape(StrictShape, frozen=True):
    """An item of spec.parentRefs."""

    name: str
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    section_name: str | None = None
    port: Port | None = None

    @property
    def is_service(self) -> bool:
        """A Gateway as parent is somebody else's business; group "" is the core group, often left out by people."""
        return self.kind == "Service" and self.group in (None, "", "core")


class _BackendObject(StrictShape, frozen=True):
    name: str
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    port: Port | None = None


class BackendShape(_BackendObject, frozen=True):
    """An item of backendRefs."""

    weight: Weight | None = None
    filters: Items = None


def parent_ref(parent: ParentShape, namespace: str, path: str) -> ParentRef:
    """A parent. Raises ConfigError."""
    return ParentRef(
        service=(
            check_name(parent.namespace or namespace, f"{path}.namespace"),
            check_name(parent.name, f"{path}.name"),
        ),
        port=parent.port,
        section=parent.section_name or "",
    )


def backend_object(data: Mapping[str, Any], path: str, namespace: str) -> BackendRef:
    """A backend without weight, as a mirror has it. Raises ConfigError."""
    return backend_ref(read(_BackendObject, data, path), path, namespace)


def backend_ref(backend: _BackendObject, path: str, namespace: str) -> BackendRef:
    """A backend. Raises ConfigError."""
    kind, group = backend.kind or "Service", backend.group or ""
    name, version = backend.name, ""
    if (group, kind) == SUBSET:
        name, _, version = backend.name.partition(".")
        if not version or not _LABEL_VALUE.fullmatch(version):
            right = "a Subset is SERVICE.VERSION, such as app-b.v2"
            raise ConfigError([f"{path}.name: {right}; got {backend.name[:80]!r}"])
        kind = "Service"
    elif group not in ("", "core"):
        kind = f"{kind}.{group}"
    if kind == "Service" and backend.port is None:
        raise ConfigError([f"{path}.port: missing; a Service as backend needs the number of one of its ports"])
    return BackendRef(
        service=(check_name(backend.namespace or namespace, f"{path}.namespace"), check_name(name, f"{path}.name")),
        port=backend.port or 0,
        kind=kind,
        version=version,
    )


def clients(metadata: Metadata) -> Clients:
    """The clients that a route is for, by its annotations `tulle.dev/from-*`. Raises ConfigError."""
    given = {name: text for name, text in (metadata.annotations or {}).items() if name.startswith(FROM)}
    known = (FROM_LABELS, FROM_NAMESPACES, FROM_ACCOUNTS)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known, f"known: {', '.join(known)}")
            raise ConfigError([f"metadata.annotations[{name}]: unknown; {hint}"])
    labels = []
    for part in _parts(given, FROM_LABELS):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not _LABEL_VALUE.fullmatch(value.strip()):
            raise ConfigError([f"metadata.annotations[{FROM_LABELS}]: expected name=value,..., got {part[:80]!r}"])
        labels.append((name.strip(), value.strip()))
    at = f"metadata.annotations[{FROM_NAMESPACES}]"
    namespaces = [check_name(part, at) for part in _parts(given, FROM_NAMESPACES)]
    accounts = []
    at = f"metadata.annotations[{FROM_ACCOUNTS}]"
    for part in _parts(given, FROM_ACCOUNTS):
        namespace, _, name = part.rpartition("/")
        accounts.append(f"{check_name(namespace or metadata.namespace or 'default', at)}/{check_name(name, at)}")
    return Clients(tuple(sorted(set(labels))), tuple(sorted(set(namespaces))), tuple(sorted(set(accounts))))


def _parts(given: Mapping[str, str], name: str) -> list[str]:
    if name not in given:
        return []
    parts = [part.strip() for part in given[name].split(",") if part.strip()]
    if not parts:
        raise ConfigError([f"metadata.annotations[{name}]: empty, so the route would be for nobody; take it off"])
    return parts
