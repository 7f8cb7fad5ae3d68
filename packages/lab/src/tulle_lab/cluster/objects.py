"""Kubernetes-shaped objects as plain dicts, and the few readings of them that everybody needs. Pure.

An object that came from the store is never changed in place: copy it first (`store.update` does).
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

Object: TypeAlias = dict[str, Any]

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, so that random names do not spell words (Kubernetes' apimachinery, util/rand)."""


class Key(NamedTuple):
    """What identifies an object. `namespace` is empty for kinds that have none."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def key_of(obj: Mapping[str, Any]) -> Key:
    """The object's key."""
    metadata = obj["metadata"]
    return Key(obj["kind"], metadata.get("namespace", ""), metadata["name"])


ZONE = "topology.kubernetes.io/zone"
"""The pod label that says in which zone it runs. On Kubernetes a node has it; the lab's one node is in all of them."""


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's labels; empty when it has none."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's annotations; empty when it has none."""
    return obj["metadata"].get("annotations") or {}


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) matches. None selects nothing, {} everything."""
    if selector is None:
        return False
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(item, labels) for item in selector.get("matchExpressions") or [])


def _expression(item: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(item["key"]), item.get("values") or []
    match item["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise ValueError(f"unknown operator {item['operator']!r}")


def owner_uid(obj: Mapping[str, Any]) -> str | None:
    """Uid of the controller that owns the object."""
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def owner_reference(owner: Mapping[str, Any]) -> Object:
    """An ownerReferences entry that makes `owner` the controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_terminating(obj: Mapping[str, Any]) -> bool:
    """Whether deletion was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def condition(obj: Mapping[str, Any], kind: str) -> Object | None:
    """The status condition of that type."""
    conditions: list[Object] = obj.get("status", {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), None)


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the status condition of that type is "True"."""
    found = condition(obj, kind)
    return found is not None and found["status"] == "True"


def set_condition(conditions: list[Object], new: Object, now: str) -> list[Object]:
    """`conditions` with `new` in it; its transition time moves only when its status does."""
    old = next((item for item in conditions if item["type"] == new["type"]), None)
    since = old["lastTransitionTime"] if old and old["status"] == new["status"] else now
    return [item for item in conditions if item["type"] != new["type"]] + [{**new, "lastTransitionTime": since}]


def timestamp(when: float) -> str:
    """RFC 3339 in UTC with seconds, as Kubernetes writes it; `when` in seconds since 1970."""
    return datetime.datetime.fromtimestamp(int(when), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """The reverse of `timestamp`."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def random_suffix(length: int = 5) -> str:
    """As Kubernetes ends generated names."""
    return "".join(secrets.choice(_SAFE) for _ in range(length))


def encode_hash(number: int) -> str:
    """A number in Kubernetes' safe alphabet (pod-template-hash)."""
    return "".join(_SAFE[int(digit) % len(_SAFE)] for digit in str(number))
