"""Which workload a pod belongs to, as far as its metadata tells: `deployment/web`. Pure reading of names.

The API server shows a webhook only the pod, so a Deployment is known through the ReplicaSet's name and the
pod-template-hash label, and a CronJob through its Job's name. A production mesh would ask the API for the owner's
owner; names are right for the controllers that Kubernetes ships.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_CRONJOB = re.compile(r"(.+)-(\d{8})", re.ASCII)
_CRONJOB_MINUTES = range(26_000_000, 80_000_000)
"""A CronJob's Job is named `<cronjob>-<minutes since 1970>`: 2019 to 2122. A date (20240101) is not in the range."""

_LABELS = (
    # label, workload kind: for pods whose owner is not written down
    ("batch.kubernetes.io/job-name", "job"),
    ("job-name", "job"),
)


def workload_of(metadata: Mapping[str, Any]) -> str:
    """`kind/name` in lower-case kind, or an empty string when nothing tells (a pod that somebody made by hand)."""
    labels: Mapping[str, str] = metadata.get("labels") or {}
    template_hash = labels.get("pod-template-hash", "")
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller", True):
            return _owner(owner["kind"], owner["name"], template_hash)
    for label, kind in _LABELS:
        if labels.get(label):
            return _owner(kind, labels[label], template_hash)
    prefix = (metadata.get("generateName") or "").rstrip("-")
    if not prefix:
        return ""
    if _ends_in(prefix, template_hash):
        return _owner("ReplicaSet", prefix, template_hash)
    return f"pod/{prefix}"


def _owner(kind: str, name: str, template_hash: str) -> str:
    kind = kind.lower()
    if kind == "replicaset" and _ends_in(name, template_hash):
        return f"deployment/{name[: -len(template_hash) - 1]}"
    if kind == "job":
        match = _CRONJOB.fullmatch(name)
        if match and int(match[2]) in _CRONJOB_MINUTES:
            return f"cronjob/{match[1]}"
    return f"{kind}/{name}"


def _ends_in(name: str, template_hash: str) -> bool:
    return bool(template_hash) and name.endswith(f"-{template_hash}") and len(name) > len(template_hash) + 1
