"""What is said back about an object: the Gateway API's status conditions, in words.

Owns Accepted, ResolvedRefs, PartiallyInvalid and Programmed of routes, and Accepted of policies. Refuses to know where
they are shown and written (statuses.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from tulle_plugin_api.meshpolicy import BALANCER_TYPE

from tulle_control_plane.core.objects import (
    AnyRoute,
    BackendRef,
    Filter,
    GRPCRoute,
    HTTPRoute,
    MeshPolicy,
    Mirror,
    ParentRef,
    PluginFilter,
    Service,
)
from tulle_control_plane.core.policies import seniority
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.routing import allowed, overruled_by
from tulle_control_plane.core.store import Store

_TARGETS: dict[str, type[Service | HTTPRoute | GRPCRoute]] = {
    "Service": Service,
    "HTTPRoute": HTTPRoute,
    "GRPCRoute": GRPCRoute,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as Kubernetes writes it; `status` is "True" or "False"."""

    type: str
    status: str
    reason: str
    message: str = ""


def refused(problem: str, in_force: bool, *, partly: bool = False) -> tuple[Condition, ...]:
    """The conditions of an object that was refused, and whether an earlier version of it still holds.

    `partly`: a route of which only some rules are wrong. Of the two ways that the specification leaves for that, we
    take the second: the last good version of the whole route stays in force ("Fall Back").
    """
    if partly and in_force:
        text = f"Fall Back: the last good version of the route stays in force; {problem}"
        return (
            Condition("Accepted", "True", "Accepted"),
            Condition("PartiallyInvalid", "True", "UnsupportedValue", text),
        )
    kept = "; the last good version stays in force" if in_force else "; nothing of it is in force"
    return (Condition("Accepted", "False", "Invalid", problem + kept),)


Gone: TypeAlias = Mapping[tuple[str, str], str]
"""Plugins that have been uninstalled since they were loaded: kind and name -> distribution."""


def of_route(store: Store, route: AnyRoute, gone: Gone = MappingProxyType({})) -> tuple[Condition, ...]:
    """A route that is in force: are its plugins still there, do its parents exist, do its backends, does it hold?"""
    problems = [(reason, text) for _, reason, text in _parent_problems(store, route)]
    return _accepted([*_plugin_problems(route, gone), *problems]), _resolved(store, route)


def of_parents(store: Store, route: AnyRoute, gone: Gone = MappingProxyType({})) -> list[tuple[Condition, ...]]:
    """The same for each parent by itself, in their order, as a route's status has them."""
    problems, missing = list(_parent_problems(store, route)), list(_plugin_problems(route, gone))
    resolved = _resolved(store, route)
    return [
        (_accepted([*missing, *((reason, text) for at, reason, text in problems if at == index)]), resolved)
        for index in range(len(route.parents))
    ]


def _plugin_problems(route: AnyRoute, gone: Gone) -> Iterator[tuple[str, str]]:
    """What of a route is carried out by plugins that are not there any more: filters, timeouts, retries, mirrors."""
    if not gone:
        return
    for path, type_ in _plugins_of(route):
        plugin = "policy", type_
        if plugin in gone:
            yield "PluginMissing", f"{path}: {_uninstalled(plugin, gone)}, or take it off the route"


def _plugins_of(route: AnyRoute) -> Iterator[tuple[str, str]]:
    for i, rule in enumerate(route.rules):
        path = f"spec.rules[{i}]"
        yield from ((path, type_) for type_, config in rule.policies if config is not None)
        yield from _filter_types(rule.filters, path)
        for j, backend in enumerate(rule.backends):
            yield from _filter_types(backend.filters, f"{path}.backendRefs[{j}]")


def _filter_types(filters: tuple[Filter, ...], path: str) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(filters):
        if isinstance(each, PluginFilter | Mirror):
            yield f"{path}.filters[{number}]", each.type if isinstance(each, PluginFilter) else "mirror"


def _uninstalled(plugin: tuple[str, str], gone: Gone) -> str:
    return (
        f"{plugin[0]} {plugin[1]!r} is not installed any more (it came from {gone[plugin]}); what runs with it "
        "goes on, what starts from now on does not know it: install it again"
    )


def _accepted(problems: Sequence[tuple[str, str]]) -> Condition:
    if problems:
        return Condition("Accepted", "False", problems[0][0], "; ".join(text for _, text in problems))
    return Condition("Accepted", "True", "Accepted")


def _resolved(store: Store, route: AnyRoute) -> Condition:
    unresolved = list(_backend_problems(store, route))
    if unresolved:
        return Condition("ResolvedRefs", "False", unresolved[0][0], "; ".join(text for _, text in unresolved))
    return Condition("ResolvedRefs", "True", "ResolvedRefs")


@dataclass(frozen=True, slots=True)
class Holder:
    """A proxy that was told of a destination: whether it runs what it was told, and why not."""

    runs: bool
    error: str = ""


def programmed(holders: Sequence[Holder]) -> Condition:
    """In how many proxies a route is in force, of those that call a Service that it is for."""
    runs = sum(holder.runs for holder in holders)
    text = f"in force in {runs} of {len(holders)} proxies that call its Services"
    refusals = [holder.error for holder in holders if holder.error]
    if refusals:
        return Condition("Programmed", "False", "Invalid", f"{text}; refused: {refusals[0]}")
    if runs < len(holders):
        return Condition("Programmed", "False", "Pending", text)
    return Condition("Programmed", "True", "Programmed", text)


def of_policy(store: Store, policy: MeshPolicy, gone: Gone = MappingProxyType({})) -> tuple[Condition, ...]:
    """A policy that is in force: is its plugin still there, does its target exist, and does it hold there?"""
    plugin = ("policy", policy.type)
    if policy.type == BALANCER_TYPE:
        plugin = ("balancer", json.loads(policy.config).get("name", ""))
    if plugin in gone:
        text = f"{_uninstalled(plugin, gone)}, or delete the policy"
        return (Condition("Accepted", "False", "PluginMissing", text),)
    kind, namespace, name = policy.target
    target = _TARGETS.get(kind)
    found = store.get(target, (namespace, name)) if target is not None else None
    if target is not None and found is None:
        return (Condition("Accepted", "False", "TargetNotFound", f"there is no {kind} {namespace}/{name}"),)
    if policy.section and isinstance(found, HTTPRoute | GRPCRoute):
        names = [rule.name for rule in found.rules if rule.name]
        if policy.section not in names:
            has = ", ".join(names) or "none"
            text = f"{kind} {namespace}/{name} has no rule named {policy.section!r}; it has {has}"
            return (Condition("Accepted", "False", "TargetNotFound", text),)
    rivals = [
        other
        for other in store.policies_on(policy.target)
        if other.type == policy.type and other.section == policy.section and seniority(other) < seniority(policy)
    ]
    if rivals:
        first = min(rivals, key=seniority)
        text = f"MeshPolicy {first.namespace}/{first.name}, of the same type on the same target, is first; merge them"
        return (Condition("Accepted", "False", "Conflicted", text),)
    return (Condition("Accepted", "True", "Accepted"),)


def _parent_problems(store: Store, route: AnyRoute) -> Iterator[tuple[int, str, str]]:
    for index, parent in enumerate(route.parents):
        problem = _parent_problem(store, parent)
        if problem:
            yield index, "NoMatchingParent", f"spec.parentRefs[{index}]: {problem}"
            continue
        service = store.get(Service, parent.service)
        if isinstance(route, HTTPRoute) and service is not None:
            other = overruled_by(Reader(store), route, service)
            if other is not None:
                name = f"GRPCRoute {other.namespace}/{other.name}"
                yield (
                    index,
                    "Conflicted",
                    f"spec.parentRefs[{index}]: {name} is on the same Service; of two kinds it holds",
                )


def _parent_problem(store: Store, parent: ParentRef) -> str:
    name = "/".join(parent.service)
    service = store.get(Service, parent.service)
    if service is None:
        return f"there is no Service {name}"
    if not service.vips:
        return f"Service {name} is headless or an ExternalName; a route needs one with a cluster IP (GEP-1294)"
    if not any(parent.selects(port) for port in service.ports):
        wanted = parent.port or repr(parent.section)
        return f"Service {name} has no port {wanted}; it has {', '.join(str(port.port) for port in service.ports)}"
    return ""


def _references(route: AnyRoute) -> Iterator[tuple[str, BackendRef]]:
    """Every backend that a route names, mirrors' too, with its path."""
    for i, rule in enumerate(route.rules):
        yield from _mirrors(rule.filters, f"spec.rules[{i}]")
        for j, backend in enumerate(rule.backends):
            path = f"spec.rules[{i}].backendRefs[{j}]"
            yield path, backend
            yield from _mirrors(backend.filters, path)


def _mirrors(filters: tuple[Filter, ...], path: str) -> Iterator[tuple[str, BackendRef]]:
    for number, each in enumerate(filters):
        if isinstance(each, Mirror):
            yield f"{path}.filters[{number}].requestMirror.backendRef", each.backend


def _backend_problems(store: Store, route: AnyRoute) -> Iterator[tuple[str, str]]:
    reader = Reader(store)
    for path, backend in _references(route):
        name = "/".join(backend.service)
        service = store.get(Service, backend.service)
        if backend.kind != "Service":
            yield "InvalidKind", f"{path}.kind: expected Service, got {backend.kind}"
        elif not all(allowed(reader, route, backend, parent.service) for parent in route.parents):
            yield (
                "RefNotPermitted",
                f"{path}: Service {name} is in another namespace; allow it by a ReferenceGrant in "
                f"{backend.service[0]!r} from {type(route).__name__} in {route.namespace!r} to Service",
            )
        elif service is None or service.external_name:
            yield "BackendNotFound", f"{path}: there is no Service {name} that can be sent to"
        elif service.port(backend.port) is None:
            has = ", ".join(str(port.port) for port in service.ports)
            yield "BackendNotFound", f"{path}.port: Service {name} has no port {backend.port}; it has {has}"
