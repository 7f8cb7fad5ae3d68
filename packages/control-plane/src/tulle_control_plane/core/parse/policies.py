"""MeshPolicy, as it arrives: the plugin contract's validation, and who may target what.

Owns the rule of reach: a policy applies to things of its own namespace; one in the system namespace may apply to any
Namespace and to the whole Mesh. Without it, whoever may write to one namespace could change every other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tulle_plugin_api import meshpolicy
from tulle_plugin_api.config import ConfigError
from tulle_plugin_api.meshpolicy import BALANCER_TYPE
from tulle_plugin_api.protocols import Policy

from tulle_control_plane.core.objects import MESH, MeshPolicy, Target
from tulle_control_plane.core.parse.shapes import StrictShape, check_name, read, read_metadata

_ROUTES = ("HTTPRoute", "GRPCRoute")


@dataclass(frozen=True)
class PluginsAtHand:
    """The plugins that configuration is checked against, by name (`Plugins.policies`, `Plugins.balancers`)."""

    policies: Mapping[str, Policy[Any]] = field(default_factory=dict)
    balancers: Mapping[str, Any] = field(default_factory=dict)
    find: Callable[[str, str], object] = lambda kind, name: None
    """Asked before a policy is judged; may add to them (`Plugins.find` looks for what was installed meanwhile)."""


class _TargetRef(StrictShape, frozen=True):
    kind: str
    group: str | None = None
    name: str | None = None
    namespace: str | None = None
    section_name: str | None = None


def parse_mesh_policy(obj: dict[str, Any], plugins: PluginsAtHand, system_namespace: str) -> MeshPolicy:
    """A MeshPolicy. Raises ConfigError with every problem found."""
    metadata = read_metadata(obj.get("metadata"))
    named = meshpolicy.plugin_of(obj)
    if named is not None:
        plugins.find(*named)
    problems = meshpolicy.validate(obj, plugins.policies, plugins.balancers)
    if problems:
        raise ConfigError(problems)
    spec = obj["spec"]
    namespace = metadata.namespace or "default"
    ref = read(_TargetRef, spec["targetRef"], "spec.targetRef")
    if spec["type"] == BALANCER_TYPE and ref.kind in _ROUTES:
        raise ConfigError(
            [f"spec.targetRef.kind: a balancer is chosen for a Service, Namespace or Mesh, not for a {ref.kind}"]
        )
    if ref.section_name and ref.kind not in _ROUTES:
        raise ConfigError(["spec.targetRef.sectionName: only a route has sections (its named rules)"])
    return MeshPolicy(
        namespace=namespace,
        name=metadata.name,
        type=spec["type"],
        target=_target(ref, namespace, system_namespace),
        section=ref.section_name or "",
        config=json.dumps(spec.get("config") or {}, sort_keys=True, separators=(",", ":")),
        created=metadata.created,
    )


def _target(ref: _TargetRef, namespace: str, system: str) -> Target:
    if ref.kind == "Mesh":
        if namespace != system:
            raise ConfigError(
                [
                    f"spec.targetRef.kind: a policy for the whole Mesh belongs in the namespace {system!r}, "
                    f"this one is in {namespace!r}; move it, or target the Namespace"
                ]
            )
        return MESH
    name = check_name(ref.name or "", "spec.targetRef.name")
    if ref.kind == "Namespace":
        if namespace not in (system, name):
            raise ConfigError(
                [
                    f"spec.targetRef.name: a policy for the Namespace {name!r} belongs in it or in {system!r}, "
                    f"this one is in {namespace!r}"
                ]
            )
        return "Namespace", "", name
    if ref.namespace not in (None, "", namespace):
        raise ConfigError(
            [
                f"spec.targetRef.namespace: a policy applies to a {ref.kind} of its own namespace {namespace!r}, "
                f"not of {ref.namespace!r}; move the policy there"
            ]
        )
    return ref.kind, namespace, name
