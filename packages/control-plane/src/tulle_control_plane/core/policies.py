"""Which MeshPolicies hold where: for each type, the nearest target wins.

Owns attachment. Nearest first: a rule of a route (sectionName), the route, the Service, its Namespace, the Mesh. Of
two of one type on one target the older holds, then the first by namespace and name (Gateway API, GEP-713).
Refuses to know what policies do: a plugin's `direction` says on which side it runs, its `backends` which other
Services it sends to, and that is all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from tulle_plugin_api.meshpolicy import BALANCER_TYPE

from tulle_control_plane.core.objects import MESH, AnyRoute, Key, MeshPolicy, Target
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Policy


def _nowhere(type_: str, config: str) -> Sequence[tuple[str, int]]:
    return ()


@dataclass(frozen=True)
class Directions:
    """On which side each type of policy runs: "inbound", "outbound" or "both"; unknown types run outbound."""

    by_type: Mapping[str, str] = field(default_factory=dict)
    sends_to: Callable[[str, str], Sequence[tuple[str, int]]] = _nowhere
    """Of a type and its configuration (JSON): other Services that it sends to, by name and port."""

    def allows(self, type_: str, direction: str) -> bool:
        """Whether that type runs there."""
        return self.by_type.get(type_, "outbound") in (direction, "both")


def seniority(policy: MeshPolicy) -> tuple[str, Key]:
    """Sorts the policy that holds first."""
    return policy.created, policy.key


def on_service(reader: Reader, service: Key, directions: Directions, direction: str) -> tuple[Policy, ...]:
    """The policies on a Service, its Namespace and the Mesh, nearest of each type, sorted by type."""
    return _on_targets(reader, _targets_of(service), directions, direction)


def on_namespace(reader: Reader, namespace: str, directions: Directions, direction: str) -> tuple[Policy, ...]:
    """The same for a port that no Service leads to."""
    return _on_targets(reader, (("Namespace", "", namespace), MESH), directions, direction)


def balancer_of(reader: Reader, service: Key) -> tuple[str, str]:
    """The balancer plugin chosen for a Service and its configuration as JSON, without the name; empty for neither."""
    policy = _nearest(reader, _targets_of(service)).get(BALANCER_TYPE)
    if policy is None:
        return "", ""
    config = msgspec.json.decode(policy.config)
    name = config.pop("name")
    return name, msgspec.json.encode(config, order="sorted").decode()


def on_rule(reader: Reader, route: AnyRoute, rule: str, directions: Directions) -> tuple[Policy, ...]:
    """The policies that target a rule of a route or the whole route, nearest of each type, sorted by type."""
    whole, sections = [], []
    for policy in reader.policies_on((type(route).__name__, *route.key)):
        if not policy.section:
            whole.append(policy)
        elif policy.section == rule:
            sections.append(policy)
    chosen: dict[str, MeshPolicy] = {}
    for group in (sections, whole):
        _take(chosen, group)
    return _results(policy for type_, policy in chosen.items() if directions.allows(type_, "outbound"))


def _targets_of(service: Key) -> tuple[Target, ...]:
    namespace, name = service
    return ("Service", namespace, name), ("Namespace", "", namespace), MESH


def _on_targets(
    reader: Reader, targets: Iterable[Target], directions: Directions, direction: str
) -> tuple[Policy, ...]:
    chosen = _nearest(reader, targets)
    return _results(
        policy for type_, policy in chosen.items() if type_ != BALANCER_TYPE and directions.allows(type_, direction)
    )


def _nearest(reader: Reader, targets: Iterable[Target]) -> dict[str, MeshPolicy]:
    chosen: dict[str, MeshPolicy] = {}
    for target in targets:
        _take(chosen, reader.policies_on(target))
    return chosen


def _take(chosen: dict[str, MeshPolicy], group: Iterable[MeshPolicy]) -> None:
    for policy in sorted(group, key=seniority):
        chosen.setdefault(policy.type, policy)


def _results(policies: Iterable[MeshPolicy]) -> tuple[Policy, ...]:
    return tuple(
        Policy(policy.type, f"MeshPolicy {policy.namespace}/{policy.name}", policy.config)
        for policy in sorted(policies, key=lambda policy: policy.type)
    )
