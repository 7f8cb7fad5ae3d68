"""MeshPolicy (tulle.dev/v1alpha1): the one kind of ours. Validation, shared by webhook, CLI and control plane.

Owns the object's shape and its words. What `spec.config` may hold is the plugin's own business: it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tulle_plugin_api.balancing import split
from tulle_plugin_api.config import ConfigError, decode, did_you_mean
from tulle_plugin_api.protocols import BalancerFactory, Policy
from tulle_plugin_api.runtime import TrioRuntime

API_VERSION = "tulle.dev/v1alpha1"
KIND = "MeshPolicy"
TARGET_KINDS = ("Service", "HTTPRoute", "GRPCRoute", "Namespace", "Mesh")
BALANCER_TYPE = "balancer"
"""`type: balancer` chooses a balancer plugin instead of a policy: config {name: round-robin, ...}."""

_FIELDS = {"": {"apiVersion", "kind", "metadata", "spec", "status"}, "spec": {"targetRef", "type", "config"}}
_TARGET_FIELDS = {"group", "kind", "name", "namespace", "sectionName"}


def plugin_of(obj: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which plugin a MeshPolicy names: ("policy", "retry") or ("balancer", "random"); None when it names none."""
    spec = obj.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    config = spec.get("config")
    if spec.get("type") == BALANCER_TYPE:
        kind, name = "balancer", config.get("name") if isinstance(config, Mapping) else None
    else:
        kind, name = "policy", spec.get("type")
    return (kind, name) if isinstance(name, str) else None


def validate(
    obj: Mapping[str, Any], policies: Mapping[str, Policy[Any]], balancers: Mapping[str, BalancerFactory] | None = None
) -> list[str]:
    """What is wrong with a MeshPolicy: one sentence a problem, each with the field's path; empty when it is good.

    `policies` and `balancers` are the plugins at hand, by name (`Plugins.policies`, `Plugins.balancers`).
    """
    problems: list[str] = []
    if obj.get("apiVersion") != API_VERSION:
        problems.append(f"apiVersion: expected {API_VERSION!r}, got {obj.get('apiVersion')!r}")
    if obj.get("kind") != KIND:
        problems.append(f"kind: expected {KIND!r}, got {obj.get('kind')!r}")
    problems += _unknown("", obj, _FIELDS[""])
    spec = obj.get("spec")
    if not isinstance(spec, Mapping):
        return [*problems, "spec: missing; it needs targetRef, type and config"]
    problems += _unknown("spec.", spec, _FIELDS["spec"])
    problems += _target(spec.get("targetRef"))
    problems += _plugin(spec, policies, balancers or {})
    return problems


def _unknown(path: str, given: Mapping[str, Any], known: set[str]) -> list[str]:
    return [f"{path}{name}: unknown field{_did_you_mean(name, known)}" for name in given if name not in known]


def _did_you_mean(name: object, known: Any) -> str:
    return "; " + did_you_mean(name, known, f"known: {', '.join(sorted(known)) or 'none'}")


def _target(target: Any) -> list[str]:
    if not isinstance(target, Mapping):
        return ["spec.targetRef: missing; say what the policy applies to, such as {kind: Service, name: app-b}"]
    problems = _unknown("spec.targetRef.", target, _TARGET_FIELDS)
    kind = target.get("kind")
    if kind not in TARGET_KINDS:
        problems.append(f"spec.targetRef.kind: expected one of {', '.join(TARGET_KINDS)}, got {kind!r}")
    elif kind != "Mesh" and not (isinstance(target.get("name"), str) and target["name"]):
        problems.append(f"spec.targetRef.name: missing; the name of the {kind} that the policy applies to")
    return problems


def _plugin(
    spec: Mapping[str, Any], policies: Mapping[str, Policy[Any]], balancers: Mapping[str, BalancerFactory]
) -> list[str]:
    kind, config = spec.get("type"), spec.get("config", {})
    if not isinstance(config, Mapping):
        return [f"spec.config: expected a mapping, got {config!r}"]
    if kind == BALANCER_TYPE:
        return _balancer(config, balancers)
    if kind is None:
        return [f"spec.type: missing; known: {', '.join(sorted([BALANCER_TYPE, *policies]))}"]
    policy = policies.get(kind) if isinstance(kind, str) else None
    if policy is None:
        return [f"spec.type: no policy plugin {kind!r} is installed{_did_you_mean(kind, [*policies, BALANCER_TYPE])}"]
    try:
        return [f"spec.config.{problem}" for problem in policy.check(decode(policy.config, config))]
    except ConfigError as error:
        return error.problems
    except Exception as error:
        return [_failed("policy", str(kind), error)]


def _balancer(config: Mapping[str, Any], balancers: Mapping[str, BalancerFactory]) -> list[str]:
    name = config.get("name")
    if name is None:
        return [f"spec.config.name: missing; which balancer? known: {', '.join(sorted(balancers)) or 'none'}"]
    if not isinstance(name, str) or name not in balancers:
        return [f"spec.config.name: no balancer {name!r} is installed{_did_you_mean(name, balancers)}"]
    try:
        _, own = split({key: value for key, value in config.items() if key != "name"})
        balancers[name](own, TrioRuntime())
    except ConfigError as error:
        return error.problems
    except ValueError as error:
        return [f"spec.config: {error}"]
    except Exception as error:
        return [_failed("balancer", name, error)]
    return []


def _failed(word: str, name: str, error: Exception) -> str:
    # a stranger's plugin: it must not take the webhook down
    return f"spec.config: {word} {name} failed to check it ({type(error).__name__}: {error}); ask its author"
