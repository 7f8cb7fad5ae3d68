"""What is kept of an object: what routing, policy and telemetry read, and nothing else. Pure.

Most of a Pod is nobody's business here (environment, volumes, images), and most changes of one touch nothing that we
keep; `trimmed` is what two versions are compared by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Object: TypeAlias = Mapping[str, Any]

_METADATA = ("name", "namespace", "uid", "labels", "ownerReferences", "creationTimestamp", "deletionTimestamp")
_ANNOTATIONS = "tulle.dev/"
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_CONTAINER = ("name", "ports", "restartPolicy")


def trimmed(kind: str, api_version: str, obj: Object) -> dict[str, Any]:
    """The object as it is told. `kind` and `api_version` are put in: the items of a list have neither."""
    kept: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": _metadata(obj)}
    match kind:
        case "Pod":
            kept["spec"] = _pod_spec(obj.get("spec") or {})
            kept["status"] = _some(obj.get("status") or {}, ("podIP", "podIPs", "phase"))
        case "EndpointSlice":
            kept |= _some(obj, ("addressType", "endpoints", "ports"))
        case "Namespace":
            pass
        case _:
            kept["spec"] = obj.get("spec") or {}
    return kept


def _metadata(obj: Object) -> dict[str, Any]:
    metadata = obj.get("metadata") or {}
    kept = _some(metadata, _METADATA)
    if "generation" in metadata:
        kept["generation"] = metadata["generation"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k.startswith(_ANNOTATIONS)}
    if annotations:
        kept["annotations"] = annotations
    return kept


def _pod_spec(spec: Object) -> dict[str, Any]:
    kept = _some(spec, ("nodeName", "serviceAccountName"))
    for field in ("containers", "initContainers"):
        if field in spec:
            kept[field] = [_container(each) for each in spec[field] or ()]
    return kept


def _container(container: Object) -> dict[str, Any]:
    kept = _some(container, _CONTAINER)
    for probe in _PROBES:
        if (container.get(probe) or {}).get("httpGet"):
            kept[probe] = {"httpGet": _some(container[probe]["httpGet"], ("port", "path"))}
    return kept


def _some(mapping: Object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if mapping.get(name) is not None}
