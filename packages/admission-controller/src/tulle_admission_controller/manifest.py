"""`tulle inject`: the same injection, for manifests as people write them. Documents in, documents out, no I/O.

Knows where each kind of workload keeps its pod template; what is not a workload passes through as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .inject import Injection, Outcome, inject
from .jsonpatch import apply_adds
from .settings import InjectSettings

TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): ("spec", "template"),
    ("", "PodTemplate"): ("template",),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""API group and kind -> where the pod is. A kind of another group is not ours to change, whatever its name."""


@dataclass(frozen=True, slots=True)
class ManifestReport:
    """What became of one document. `str()` gives the line for people: `deployment "web" injected`."""

    kind: str
    name: str
    outcome: Outcome
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}" {self.outcome}' + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class ManifestInjection:
    """The new documents, in the order of the old ones, and a report for each that is or should be an object."""

    documents: list[Any]
    reports: list[ManifestReport]

    @property
    def refused(self) -> bool:
        """Whether anything was refused: such documents come out as they went in."""
        return any(report.outcome == "refused" for report in self.reports)


def inject_manifest(
    documents: Iterable[Any], *, settings: InjectSettings, namespace: str = "default"
) -> ManifestInjection:
    """Injects every workload among the documents, also inside a List. Never raises, changes none of its input.

    `namespace` is for objects that name none. Annotations of a Namespace among the documents hold for its pods,
    as they would in the cluster.
    """
    documents = list(documents)
    run = _Run(settings, namespace, _namespace_annotations(documents))
    return ManifestInjection([run.document(document) for document in documents], run.reports)


class _Run:
    def __init__(self, settings: InjectSettings, namespace: str, annotations: dict[str, Mapping[str, str]]) -> None:
        self.settings = settings
        self.namespace = namespace
        self.annotations = annotations
        self.reports: list[ManifestReport] = []

    def document(self, document: Any) -> Any:
        if document is None:  # nothing between two "---" lines
            return document
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            text = "not a Kubernetes object: it has no kind"
            self.reports.append(ManifestReport("document", _name(document), "refused", text))
            return document
        if document["kind"] == "List" and isinstance(document.get("items"), list):
            return {**document, "items": [self.document(item) for item in document["items"]]}
        kind, name = document["kind"].lower(), _name(document)
        path = TEMPLATES.get((str(document.get("apiVersion", "")).rpartition("/")[0], document["kind"]))
        if path is None:
            self.reports.append(ManifestReport(kind, name, "skipped", "it has no pods"))
            return document
        result, injected = self._workload(document, path, f"{kind}/{name}" if path else "")
        self.reports.append(ManifestReport(kind, name, result.outcome, result.reason, result.warnings))
        return injected

    def _workload(self, document: dict[str, Any], path: tuple[str, ...], workload: str) -> tuple[Injection, Any]:
        template = _at(document, path)
        if template is None:
            return Injection("refused", f"{'.'.join(path)} is missing or not an object"), document
        metadata = document.get("metadata")
        namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
        namespace = namespace if isinstance(namespace, str) and namespace else self.namespace
        result = inject(
            template,
            namespace=namespace,
            settings=self.settings,
            namespace_annotations=self.annotations.get(namespace),
            workload=workload,
        )
        return result, _replaced(document, path, apply_adds(template, result.patch))


def _namespace_annotations(documents: list[Any]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for document in documents:
        if not isinstance(document, dict):
            continue
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            found |= _namespace_annotations(document["items"])
        elif document.get("kind") == "Namespace" and document.get("apiVersion") == "v1":
            annotations = _at(document, ("metadata", "annotations")) or {}
            if all(isinstance(value, str) for value in annotations.values()):
                found[_name(document)] = annotations
    return found


def _name(document: Any) -> str:
    metadata = _at(document, ("metadata",)) or {}
    return str(metadata.get("name") or metadata.get("generateName") or "")


def _at(node: Any, path: tuple[str, ...]) -> dict[str, Any] | None:
    for token in path:
        node = node.get(token) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _replaced(node: dict[str, Any], path: tuple[str, ...], value: Any) -> Any:
    return {**node, path[0]: _replaced(node[path[0]], path[1:], value)} if path else value
