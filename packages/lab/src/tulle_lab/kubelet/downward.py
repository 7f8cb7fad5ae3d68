"""The downward API: fields of a pod as text, for variables and files. Pure."""

from __future__ import annotations

import re

from tulle_lab.cluster.objects import Object, annotations_of, labels_of

_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_value(path: str, pod: Object) -> str:
    """The value of a fieldPath that the schema allows (kinds/pods.py FIELD_PATHS); empty when the pod has none yet."""
    if match := _KEYED.fullmatch(path):
        return (labels_of(pod) if match[1] == "labels" else annotations_of(pod)).get(match[2], "")
    match path:
        case "metadata.labels":
            return _lines(labels_of(pod))
        case "metadata.annotations":
            return _lines(annotations_of(pod))
        case "status.podIPs":
            return ",".join(entry["ip"] for entry in pod.get("status", {}).get("podIPs") or [])
        case "status.hostIPs":
            return ",".join(entry["ip"] for entry in pod.get("status", {}).get("hostIPs") or [])
    section, name = path.split(".")
    return str(pod.get(section, {}).get(name) or "")


def _lines(values: dict[str, str]) -> str:
    """As kubelet writes a map into a file: key="value", sorted."""
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in values.items()}
    return "\n".join(f'{key}="{value}"' for key, value in sorted(escaped.items()))
