"""POST /mutate: which pods are injected. From an admission request to a decision; pure, all rules in `inject.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .inject import inject
from .review import AdmissionRequest, Decision
from .settings import InjectSettings

NamespaceAnnotations = Callable[[str], Mapping[str, str]]
"""Namespace name -> its annotations (empty when not known). A review does not carry them; see `namespaces.py`."""


def mutate(request: AdmissionRequest, settings: InjectSettings, namespaces: NamespaceAnnotations) -> Decision:
    """Injects a pod that is being created. The namespaceSelector has matched already: by default, yes."""
    if (request.group, request.kind, request.subresource) != ("", "Pod", ""):
        what = f"{request.kind}{'/' + request.subresource if request.subresource else ''}"
        return _refused(f"/mutate injects pods, not {what}; set rules.resources: [pods] in the webhook configuration")
    if request.operation != "CREATE" or request.object is None:
        return _refused(
            f"/mutate injects pods that are created, this is {request.operation}; "
            "set rules.operations: [CREATE] in the webhook configuration"
        )
    namespace = request.namespace or _own_namespace(request.object)
    if not namespace:
        return _refused("request.namespace is missing: nobody says where the pod will run")
    result = inject(
        request.object, namespace=namespace, settings=settings, namespace_annotations=namespaces(namespace)
    )
    if result.outcome == "refused":
        return Decision(False, "refused", result.reason, 422, warnings=result.warnings)
    return Decision(True, result.outcome, result.reason, patch=result.patch, warnings=result.warnings)


def _refused(message: str) -> Decision:
    return Decision(False, "malformed", message, 400)


def _own_namespace(pod: Mapping[str, object]) -> str:
    metadata = pod.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    return namespace if isinstance(namespace, str) else ""
