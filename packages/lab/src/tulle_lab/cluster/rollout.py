"""A Deployment's next step: how many pods to make, which to delete. Pure; the arithmetic of Kubernetes' controller.

Owns maxSurge and maxUnavailable (apps/v1 DeploymentStrategy; pkg/controller/deployment/rolling.go). There are no
ReplicaSets in the lab: a pod's `pod-template-hash` says which template it was made from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tulle_lab.cluster.objects import Object, encode_hash, set_condition, timestamp

HASH_LABEL = "pod-template-hash"


@dataclass(frozen=True)
class PodView:
    """What counts of a pod. `available`: ready for at least minReadySeconds. `age`: larger is older."""

    name: str
    hash: str
    ready: bool = False
    available: bool = False
    terminating: bool = False
    age: int = 0


@dataclass(frozen=True)
class Plan:
    """The step: make `create` pods of the new template, delete those named."""

    create: int = 0
    delete: tuple[str, ...] = ()


def template_hash(template: Object) -> str:
    """Ten characters that stand for a pod template."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return encode_hash(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"))


def amounts(strategy: Object, replicas: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. Percentages: surge is rounded up, unavailable down; never both 0."""
    rolling = strategy.get("rollingUpdate") or {}
    surge = _amount(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _amount(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def _amount(value: int | str, replicas: int, rounding: Any) -> int:
    if isinstance(value, int):
        return value
    return int(rounding(int(value.rstrip("%")) * replicas / 100))


def plan(spec: Object, new_hash: str, pods: Sequence[PodView]) -> Plan:
    """The next step towards `spec.replicas` pods of template `new_hash`. `pods` are all of the Deployment's."""
    replicas = spec["replicas"]
    living = [pod for pod in pods if not pod.terminating]
    new = [pod for pod in living if pod.hash == new_hash]
    old = [pod for pod in living if pod.hash != new_hash]
    surplus = tuple(pod.name for pod in _dispensable(new)[: max(0, len(new) - replicas)])
    if spec["strategy"]["type"] == "Recreate":
        if any(pod.hash != new_hash for pod in pods):  # those that terminate, too: the new may not meet the old
            return Plan(0, (*surplus, *(pod.name for pod in old)))
        return Plan(max(0, replicas - len(new)), surplus)
    surge, unavailable = amounts(spec["strategy"], replicas)
    create = max(0, min(replicas - len(new), replicas + surge - len(living)))
    return Plan(create, (*surplus, *_old_to_delete(replicas - unavailable, new, old)))


def _old_to_delete(minimum: int, new: list[PodView], old: list[PodView]) -> list[str]:
    """Old pods that may go while at least `minimum` stay available: first those that do not work anyway."""
    new_unavailable = sum(not pod.available for pod in new)
    budget = len(new) + len(old) - minimum - new_unavailable
    broken = [pod for pod in _dispensable(old) if not pod.available][: max(0, budget)]
    spare = sum(pod.available for pod in [*new, *old]) - minimum
    working = [pod for pod in _dispensable(old) if pod.available][: max(0, spare)]
    return [pod.name for pod in (*broken, *working)]


def _dispensable(pods: list[PodView]) -> list[PodView]:
    """Best candidates for deletion first: not ready, then not available, then young."""
    return sorted(pods, key=lambda pod: (pod.ready, pod.available, pod.age, pod.name))


def is_complete(deployment: Object) -> bool:
    """Whether the rollout of the present template is done (kubectl rollout status)."""
    status, replicas = deployment.get("status", {}), deployment["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return seen and counts <= {replicas}


def status(
    deployment: Object, new_hash: str, pods: Sequence[PodView], now: float, progressed: float, failure: str
) -> Object:
    """The Deployment's status. `progressed`: when a count last changed; `failure`: why pods could not be made."""
    spec = deployment["spec"]
    living = [pod for pod in pods if not pod.terminating]
    replicas, updated = spec["replicas"], sum(pod.hash == new_hash for pod in living)
    available = sum(pod.available for pod in living)
    _, unavailable = amounts(spec["strategy"], replicas)
    new: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": len(living),
        "updatedReplicas": updated,
        "readyReplicas": sum(pod.ready for pod in living),
        "availableReplicas": available,
        "unavailableReplicas": max(0, replicas - available),
    }
    done = updated == available == len(living) == replicas
    enough = available >= replicas - unavailable
    overdue = not done and now - progressed > spec["progressDeadlineSeconds"]
    reason = "NewReplicaSetAvailable" if done else "ProgressDeadlineExceeded" if overdue else "ReplicaSetUpdated"
    conditions = deployment.get("status", {}).get("conditions") or []
    conditions = [item for item in conditions if item["type"] != "ReplicaFailure"]
    wanted = [
        {
            "type": "Available",
            "status": _truth(enough),
            "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        },
        {"type": "Progressing", "status": _truth(not overdue), "reason": reason},
    ]
    if failure:
        wanted.append({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure})
    for item in wanted:
        conditions = set_condition(conditions, item, timestamp(now))
    return {**new, "conditions": conditions}


def _truth(value: bool) -> str:
    return "True" if value else "False"
