"""POST /validate: MeshPolicy, and our annotations on pods and namespaces. From an admission request to a decision.

Owns which kind is asked what. What a MeshPolicy may say is `tulle_plugin_api.meshpolicy`'s, shared with control
plane and CLI; what annotations may say is `annotations.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tulle_plugin_api import meshpolicy

from . import names
from .annotations import annotation_problems, annotation_warnings
from .problems import as_one
from .refusals import uid_problems
from .review import AdmissionRequest, Decision
from .shape import shape_problems

Findings = tuple[list[str], list[str]]
"""Problems, which refuse the object, and warnings, which do not."""
PolicyProblems = Callable[[Mapping[str, Any]], list[str]]


def policy_judge(
    policies: Mapping[str, Any],
    balancers: Mapping[str, Any],
    find: Callable[[str, str], object] = lambda kind, name: None,
) -> PolicyProblems:
    """What judges a MeshPolicy by the plugins at hand. What cannot be judged at all is refused as well.

    `find(kind, name)` is asked first, and may add to them: `Plugins.find` looks for what was installed meanwhile.
    """

    def problems(policy: Mapping[str, Any]) -> list[str]:
        try:
            named = meshpolicy.plugin_of(policy)
            if named is not None:
                find(*named)
            return meshpolicy.validate(policy, policies, balancers)
        except Exception as error:  # such as a RecursionError, for a value nested too deeply to be shown
            return [f"the policy could not be judged ({type(error).__name__}); simplify spec.config"]

    return problems


def validate(request: AdmissionRequest, judge: PolicyProblems) -> Decision:
    """Allows or refuses one object. On UPDATE, what was wrong before does not stop the change, it only warns.

    Otherwise an object that is older than this webhook could be neither repaired in steps nor finalised.
    """
    check = _CHECKS.get((request.group, request.kind))
    if check is None:
        known = ", ".join(kind for _, kind in _CHECKS)
        return Decision(
            False, "malformed", f"/validate knows {known}, not {request.kind}; correct rules.resources", 400
        )
    if request.operation not in ("CREATE", "UPDATE") or request.object is None:
        text = f"/validate judges what is created or updated, this is {request.operation}; correct rules.operations"
        return Decision(False, "malformed", text, 400)
    metadata = request.object.get("metadata")
    if not isinstance(metadata, dict | None):
        return Decision(False, "refused", "metadata must be an object", 422)
    if (metadata or {}).get("deletionTimestamp"):
        return Decision(True, "valid")  # on its way out: only finalizers still change
    problems, warnings = check(request.object, judge)
    if request.operation == "UPDATE" and request.old_object is not None:
        known_problems, _ = check(request.old_object, judge)
        warnings = warnings + [text for text in problems if text in known_problems]
        problems = [text for text in problems if text not in known_problems]
    if problems:
        return Decision(False, "refused", as_one(problems), 422, warnings=tuple(warnings))
    return Decision(True, "valid", warnings=tuple(warnings))


def _policy(policy: Mapping[str, Any], judge: PolicyProblems) -> Findings:
    return judge(policy), []


def _namespace(namespace: Mapping[str, Any], judge: PolicyProblems) -> Findings:
    metadata = namespace.get("metadata") or {}
    return _annotations(metadata)


def _pod(pod: Mapping[str, Any], judge: PolicyProblems) -> Findings:
    problems = shape_problems(pod)
    if problems:
        return problems, []
    metadata = pod.get("metadata") or {}
    problems, warnings = _annotations(metadata)
    if names.INJECTED in (metadata.get("annotations") or {}):
        problems = problems + uid_problems(pod)  # also a debug container that joins later
    return problems, warnings


def _annotations(metadata: Mapping[str, Any]) -> Findings:
    problems: list[str] = []
    annotations: dict[str, str] = {}
    for field in ("annotations", "labels"):
        values = metadata.get(field)
        if values is None:
            continue
        if not isinstance(values, dict):
            return [f"metadata.{field} must be an object"], []
        problems += [
            f"metadata.{field}: the value of {name} must be a string; put it in quotes"
            for name, value in values.items()
            if name.startswith(names.PREFIX) and not isinstance(value, str)
        ]
        if field == "annotations":
            annotations = {name: value for name, value in values.items() if isinstance(value, str)}
        elif values.get(names.INJECT, "enabled") not in ("enabled", "disabled"):
            problems.append(f'label {names.INJECT}: "{values[names.INJECT]}" is neither "enabled" nor "disabled"')
    return problems + annotation_problems(annotations), annotation_warnings(annotations)


_CHECKS: dict[tuple[str, str], Callable[[Mapping[str, Any], PolicyProblems], Findings]] = {
    (names.API_GROUP, "MeshPolicy"): _policy,
    ("", "Pod"): _pod,
    ("", "Namespace"): _namespace,
}
