"""From plain dicts, as the API server or a file holds them, to core's objects. Strict: a bad one is refused.

Owns which kinds are read, and what to make of the rest: kinds that a cluster has and we do not need pass silently;
a kind that looks like a slip of the pen is refused, since silence would leave its author wondering; and so is a field
beside `spec`, of which the same is true. `unread` says in words what passes (`tulle check -f`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from tulle_plugin_api.config import ConfigError
from tulle_plugin_api.meshpolicy import API_VERSION

from tulle_control_plane.core.objects import Object
from tulle_control_plane.core.parse.policies import PluginsAtHand, parse_mesh_policy
from tulle_control_plane.core.parse.routes import parse_grpc_route, parse_http_route, parse_reference_grant
from tulle_control_plane.core.parse.services import parse_endpoint_slice, parse_service
from tulle_control_plane.core.parse.workloads import parse_namespace, parse_pod

__all__ = ["ConfigError", "Parser", "PluginsAtHand", "unread"]

_GATEWAY = ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1")

# kind -> (API versions that we read it in, its reader)
_READERS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], Object]]] = {
    "Namespace": (("v1",), parse_namespace),
    "Pod": (("v1",), parse_pod),
    "Service": (("v1",), parse_service),
    "EndpointSlice": (("discovery.k8s.io/v1",), parse_endpoint_slice),
    "HTTPRoute": (_GATEWAY, parse_http_route),
    "GRPCRoute": ((*_GATEWAY, "gateway.networking.k8s.io/v1alpha2"), parse_grpc_route),
    "ReferenceGrant": (_GATEWAY, parse_reference_grant),
}
KINDS = (*_READERS, "MeshPolicy")
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_GATEWAY_KINDS = frozenset(kind for kind, (versions, _) in _READERS.items() if _GATEWAY[0] in versions)

# API group -> kinds of it that exist and that we do not need
_NOT_NEEDED: dict[str, tuple[str, ...]] = {
    "": (
        "Binding", "ConfigMap", "Endpoints", "Event", "LimitRange", "Node", "PersistentVolume",
        "PersistentVolumeClaim", "PodTemplate", "ReplicationController", "ResourceQuota", "Secret", "ServiceAccount",
    ),
    "discovery.k8s.io": (),
    "gateway.networking.k8s.io": (
        "BackendTLSPolicy", "BackendLBPolicy", "Gateway", "GatewayClass", "ListenerSet", "TCPRoute", "TLSRoute",
        "UDPRoute",
    ),
    "tulle.dev": (),
}  # fmt: skip


class Parser:
    """Reads objects, knowing which plugins there are."""

    def __init__(self, plugins: PluginsAtHand | None = None, system_namespace: str = "tulle-system") -> None:
        self._plugins = plugins or PluginsAtHand()
        self._system_namespace = system_namespace

    def parse(self, obj: Mapping[str, Any]) -> Object | None:
        """One of core's objects; None for a kind that we do not need. Raises ConfigError with the remedy."""
        kind, version = obj.get("kind"), obj.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str):
            raise ConfigError(["apiVersion and kind: missing; every object has both"])
        group = version.rpartition("/")[0]
        if kind == "MeshPolicy" and group == "tulle.dev":
            return parse_mesh_policy(dict(obj), self._plugins, self._system_namespace)
        if kind in _READERS:
            versions, reader = _READERS[kind]
            if version in versions:
                if kind in _GATEWAY_KINDS:
                    _check_top(obj)
                return reader(dict(obj))
            if group in {v.rpartition("/")[0] for v in versions}:
                raise ConfigError([f"apiVersion: {kind} is read as {' or '.join(versions)}, got {version!r}"])
            return None  # another group's kind of the same name
        if group in _NOT_NEEDED and kind not in _NOT_NEEDED[group]:
            raise ConfigError([f"kind: {version} has no {kind!r}{_did_you_mean(kind, group)}"])
        return None


def unread(obj: Mapping[str, Any]) -> str:
    """Of an object that `parse` takes and makes nothing of: what it is, and what may have been meant; else ""."""
    kind, version = str(obj.get("kind")), str(obj.get("apiVersion"))
    if kind not in _READERS:
        return "" if kind == "MeshPolicy" and version == API_VERSION else f"{kind} of {version}"
    versions = _READERS[kind][0]
    return "" if version in versions else f"{kind} of {version}; Tulle reads {kind} of {' or '.join(versions)}"


def _check_top(obj: Mapping[str, Any]) -> None:
    """These kinds have nothing beside `spec`; a route whose `spec` is misspelt would have no rules and no parents."""
    problems = []
    for name in obj:
        if name not in _TOP:
            close = difflib.get_close_matches(str(name), _TOP, 1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known fields: {', '.join(_TOP)}"
            problems.append(f"{name}: unknown field; {remedy}")
    if obj.get("spec") is None:
        problems.append("spec: missing")
    if problems:
        raise ConfigError(problems)


def _did_you_mean(kind: str, group: str) -> str:
    ours = [k for k, (versions, _) in _READERS.items() if versions[0].rpartition("/")[0] == group]
    known = [*ours, *_NOT_NEEDED[group], *(["MeshPolicy"] if group == API_VERSION.split("/")[0] else [])]
    close = difflib.get_close_matches(kind, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"
