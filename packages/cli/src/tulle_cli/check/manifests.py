"""`tulle check -f FILE`: what is wrong with manifests, before they are applied.

Owns reading YAML with line numbers, and what of an object nobody looks at. What is right is asked of the functions of
those who decide, so that all refuse the same things in the same words: of the webhook, a MeshPolicy by the plugin it
names, a workload by what injection would say of it; of the control plane, routes, grants, Services, EndpointSlices.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tulle_admission_controller.annotations import annotation_problems, annotation_warnings
from tulle_admission_controller.manifest import TEMPLATES, inject_manifest
from tulle_admission_controller.settings import InjectSettings
from tulle_admission_controller.validate import policy_judge
from tulle_plugin_api import Check, CheckResult, Plugins, meshpolicy

from tulle_cli.check.model import Section, check, failed, passed, warned

CATEGORY = "manifests"


@dataclass(frozen=True)
class Document:
    """One document of a file. `line`: where it begins, from 1; `data`: as YAML gave it."""

    line: int
    data: Any

    @property
    def name(self) -> str:
        """ "MeshPolicy demo/limit", as far as it says."""
        kind = self.data.get("kind", "?") if isinstance(self.data, dict) else "?"
        meta = self.data.get("metadata") if isinstance(self.data, dict) else None
        meta = meta if isinstance(meta, dict) else {}
        namespace = f"{meta['namespace']}/" if meta.get("namespace") else ""
        return f"{kind} {namespace}{meta.get('name', '?')}"


def section(files: Iterable[str], plugins: Plugins) -> Section:
    """One check a file ("-" is stdin; a directory is its *.yaml and *.yml)."""
    return Section(CATEGORY, [_check(path, plugins) for path in expand(files)])


def expand(files: Iterable[str]) -> Iterator[str]:
    """Files as they are, directories as the manifests in them, sorted."""
    for name in files:
        path = Path(name)
        if name != "-" and path.is_dir():
            yield from sorted(str(item) for item in path.iterdir() if item.suffix in (".yaml", ".yml"))
        else:
            yield name


def documents(text: str) -> list[Document]:
    """The documents that are not empty. Raises yaml.YAMLError."""
    loader = yaml.SafeLoader(text)
    found = []
    try:
        while loader.check_node():
            node = loader.get_node()
            data = loader.construct_document(node) if node else None
            if node and data is not None:
                found.append(Document(node.start_mark.line + 1, data))
    finally:
        loader.dispose()
    return found


ROUTES = "gateway.networking.k8s.io/"
"""The API group whose objects nobody but the control plane judges: a cluster only knows their shape."""
METADATA = (
    "name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers", "uid",
    "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
    "managedFields",
)  # fmt: skip
"""Of Kubernetes (ObjectMeta). A cluster may know more: what is not among them is an error for a kind of ours only."""


def findings(document: Document, plugins: Plugins) -> tuple[list[str], list[str]]:
    """What is wrong with it, and what is only odd; one sentence each."""
    data = document.data
    if not isinstance(data, dict):
        return [f"expected a mapping with apiVersion, kind and metadata, got {type(data).__name__}"], []
    missing = [name for name in ("apiVersion", "kind", "metadata") if not data.get(name)]
    if missing:
        return [f"{name}: missing" for name in missing], []
    metadata = data["metadata"]
    if not (isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and metadata["name"]):
        return ["metadata.name: missing"], []
    unknown = [f"metadata.{name}: unknown field{_nearest(name)}" for name in metadata if name not in METADATA]
    if data["kind"] == meshpolicy.KIND:
        return [*policy_judge(plugins.policies, plugins.balancers)(data), *unknown], []
    wrong, odd = _of_its_kind(data)
    return wrong, [*odd, *unknown]


def _nearest(name: object) -> str:
    close = difflib.get_close_matches(str(name), METADATA, 1)
    return f"; did you mean {close[0]!r}?" if close else "; kubectl's strict validation would refuse it"


def _of_its_kind(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    metadata = data["metadata"]
    if data["kind"] == "Namespace":
        annotations = {str(name): str(value) for name, value in (metadata.get("annotations") or {}).items()}
        return annotation_problems(annotations), annotation_warnings(annotations)
    reports = inject_manifest([data], settings=InjectSettings()).reports
    refused = [report.reason for report in reports if report.outcome == "refused"]
    wrong, odd = _by_the_control_plane(data)
    return [*refused, *wrong], [*(warning for report in reports for warning in report.warnings), *odd]


def _by_the_control_plane(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What reads this kind in the mesh says of it: unknown and wrong fields with their path, slips of the pen."""
    if data["kind"] == "Pod":
        return [], []  # judged by what injection says; what runs is judged by the cluster
    try:
        from tulle_control_plane.core.parse import ConfigError, Parser, unread
    except ImportError as error:
        if not str(data["apiVersion"]).startswith(ROUTES):
            return [], []
        return [], [f"not looked at ({error}): pip install 'tulle-cli[lab]' judges routes, too"]
    try:
        Parser().parse(data)
    except ConfigError as error:
        return list(error.problems), []
    nobody = unread(data)
    return [], [nobody] if "; " in nobody else []


def _unread(documents: list[Document]) -> str:
    """Of the objects that nobody here looks at, a note; "" when there are none."""
    try:
        from tulle_control_plane.core.parse import unread
    except ImportError:
        return ""
    found = dict.fromkeys(
        word
        for document in documents
        if (word := unread(document.data)) and not any(document.data["kind"] == kind for _, kind in TEMPLATES)
    )
    return f"for the cluster to judge: {', '.join(found)}" if found else ""


def _check(path: str, plugins: Plugins) -> Check:
    return check(CATEGORY, "stdin" if path == "-" else path, lambda: _judge(path, plugins))


def _judge(path: str, plugins: Plugins) -> CheckResult:
    try:
        found = documents(sys.stdin.read() if path == "-" else Path(path).read_text())
    except OSError as error:
        return failed(f"cannot be read: {error.strerror or error}", "give -f a file, a directory, or - for stdin")
    except UnicodeDecodeError as error:
        return failed(f"is not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8")
    except yaml.YAMLError as error:
        return failed(f"is not YAML: {error}", "see the line above; indent with blanks, never tabs")
    if not found:
        return failed("holds no object", "a manifest has apiVersion, kind and metadata")
    wrong: list[str] = []
    odd: list[str] = []
    for document in found:
        for texts, lines in zip(findings(document, plugins), (wrong, odd), strict=True):
            lines += [f"line {document.line}: {document.name}: {text}" for text in texts]
    if wrong:
        return failed("\n".join([*wrong, *odd]), "correct these and run the command again")
    if odd:
        return warned("\n".join(odd))
    count = f"{len(found)} object{'s' * (len(found) != 1)}"
    return passed("; ".join(part for part in (count, _unread(found)) if part))
