"""Is this thing a pod at all? Checks the type of every field that the injector reads, before it reads any.

The API server has checked a real pod; a hand-written manifest or a forged review has been checked by nobody.
After `shape_problems` returns nothing, the rest of the package may index without fear.
"""

from __future__ import annotations

from typing import Any

_OBJECT, _LIST, _TEXT, _WHOLE, _FLAG = "an object", "a list", "a string", "a whole number", "true or false"

_POD = (
    ("metadata", _OBJECT),
    ("metadata.name", _TEXT),
    ("metadata.generateName", _TEXT),
    ("metadata.namespace", _TEXT),
    ("metadata.annotations", _OBJECT),
    ("metadata.labels", _OBJECT),
    ("metadata.ownerReferences", _LIST),
    ("spec.containers", _LIST),
    ("spec.initContainers", _LIST),
    ("spec.ephemeralContainers", _LIST),
    ("spec.volumes", _LIST),
    ("spec.hostNetwork", _FLAG),
    ("spec.os", _OBJECT),
    ("spec.securityContext", _OBJECT),
    ("spec.securityContext.runAsUser", _WHOLE),
)
_ITEMS = (
    # list, fields that each item must have, fields that it may have
    ("metadata.ownerReferences", (("kind", _TEXT), ("name", _TEXT)), (("controller", _FLAG),)),
    ("spec.volumes", (("name", _TEXT),), ()),
    *(
        (
            f"spec.{containers}",
            (("name", _TEXT),),
            (("ports", _LIST), ("securityContext", _OBJECT), ("securityContext.runAsUser", _WHOLE)),
        )
        for containers in ("containers", "initContainers", "ephemeralContainers")
    ),
)


def shape_problems(pod: Any) -> list[str]:
    """Messages for every field of a wrong type, like `spec.containers must be a list, it is a string`."""
    if not isinstance(pod, dict):
        return [f"the pod must be an object, it is {_kind(pod)}"]
    if not isinstance(pod.get("spec"), dict):
        return [f"spec must be an object, it is {_kind(pod.get('spec'))}"]
    problems = [text for path, wanted in _POD if (text := _wrong(pod, path, wanted))]
    if problems:
        return problems
    if not pod["spec"].get("containers"):
        return ["spec.containers must name at least one container"]
    for field in ("annotations", "labels"):
        for name, value in ((pod.get("metadata") or {}).get(field) or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                problems.append(
                    f"metadata.{field}: the value of {name} must be a string, it is {_kind(value)}; put it in quotes"
                )
    for path, must, may in _ITEMS:
        for position, item in enumerate(_at(pod, path) or []):
            problems += _item_problems(f"{path}[{position}]", item, must, may)
    return problems


def _item_problems(
    where: str, item: Any, must: tuple[tuple[str, str], ...], may: tuple[tuple[str, str], ...]
) -> list[str]:
    if not isinstance(item, dict):
        return [f"{where} must be an object, it is {_kind(item)}"]
    problems = [f"{where} has no {field}" for field, _ in must if item.get(field) in (None, "")]
    problems += [f"{where}.{text}" for field, wanted in (*must, *may) if (text := _wrong(item, field, wanted))]
    for port in _list(item.get("ports")):
        if not isinstance(port, dict) or _kind(port.get("containerPort", 1)) != _WHOLE:
            problems.append(f"{where}.ports must be a list of objects with a containerPort")
    return problems


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _wrong(node: Any, path: str, wanted: str) -> str | None:
    value = _at(node, path)
    return None if value is None or _kind(value) == wanted else f"{path} must be {wanted}, it is {_kind(value)}"


def _at(node: Any, path: str) -> Any:
    for token in path.split("."):
        if not isinstance(node, dict):
            return None  # the parent's own row reports it
        node = node.get(token)
    return node


def _kind(value: Any) -> str:
    rows = (
        (dict, _OBJECT), (list, _LIST), (str, _TEXT), (bool, _FLAG), (int, _WHOLE), (float, "a fraction"),
        (type(None), "missing"),
    )  # fmt: skip
    return next((name for kind, name in rows if isinstance(value, kind)), f"a {type(value).__name__}")
