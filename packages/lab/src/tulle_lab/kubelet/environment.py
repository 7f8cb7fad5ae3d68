"""A container's environment variables and its expanded command line. Pure.

Owns the order of sources and `$(NAME)` (Kubernetes: "Define dependent environment variables").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError
from tulle_lab.kubelet.downward import field_value

ConfigMaps = Callable[[str], "Object | None"]
"""A ConfigMap of the pod's namespace by name."""

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class MissingConfig(LabError):
    """The container refers to a ConfigMap or key that is not there (Kubernetes: CreateContainerConfigError)."""


def environment(container: Object, pod: Object, config_maps: ConfigMaps, base: dict[str, str]) -> dict[str, str]:
    """`base`, then envFrom, then env, later ones winning. Raises MissingConfig."""
    result = dict(base)
    for source in container.get("envFrom") or []:
        reference = source["configMapRef"]
        found = config_maps(reference["name"])
        if found is None:
            if reference.get("optional"):
                continue
            raise _missing(container, f"ConfigMap {reference['name']}")
        result |= {source.get("prefix", "") + key: value for key, value in (found.get("data") or {}).items()}
    for variable in container.get("env") or []:
        value = _value(variable, container, pod, config_maps, result)
        if value is not None:
            result[variable["name"]] = value
    return result


def _value(
    variable: Object, container: Object, pod: Object, config_maps: ConfigMaps, known: dict[str, str]
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if reference := source.get("fieldRef"):
        return field_value(reference["fieldPath"], pod)
    reference = source["configMapKeyRef"]
    found = config_maps(reference["name"])
    value: str | None = (found.get("data") or {}).get(reference["key"]) if found else None
    if value is None and not reference.get("optional"):
        raise _missing(container, f"key {reference['key']!r} of ConfigMap {reference['name']}")
    return value


def _missing(container: Object, what: str) -> MissingConfig:
    return MissingConfig(
        f"container {container['name']} needs {what}, which does not exist", fix="apply that ConfigMap"
    )


def expand(text: str, variables: dict[str, str]) -> str:
    """Replace `$(NAME)`; unknown names stay as they are, `$$` is a dollar sign.

    >>> expand("$(A)-$(B)-$$(A)", {"A": "1"})
    '1-$(B)-$(A)'
    """

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def expand_all(words: Iterable[str], variables: dict[str, str]) -> tuple[str, ...]:
    """`expand` for a command line."""
    return tuple(expand(word, variables) for word in words)
