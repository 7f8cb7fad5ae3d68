"""The injection: one pure function from a pod to a JSON patch and a report.

The webhook, `tulle inject` and the lab all call `inject`, so a pod looks the same whoever admitted it. Order in the
pod: `tulle-init`, then `tulle-proxy` as a native sidecar, then the app's own init containers, which so have a
network that works. Judged by container name, piece by piece: what is there stays, so a second run adds nothing.
Imports nothing heavy; no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import names
from .annotations import ProxyOptions, annotation_problems, annotation_warnings, read_options
from .containers import init_container, proxy_container, volumes
from .jsonpatch import Operation, PatchBuilder
from .problems import as_one
from .refusals import name_problems, network_obstacle, port_problems, uid_problems
from .settings import InjectSettings
from .shape import shape_problems
from .workload import workload_of

Outcome = Literal["injected", "skipped", "refused"]


@dataclass(frozen=True, slots=True)
class Injection:
    """What is to be done with a pod.

    `patch` (RFC 6902, `add` only) is empty unless `outcome` is "injected"; `reason` says why for the other two;
    `warnings` are for the person who applied the pod and stop nothing.
    """

    outcome: Outcome
    reason: str = ""
    patch: list[Operation] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


def inject(
    pod: Mapping[str, Any],
    *,
    namespace: str,
    settings: InjectSettings,
    namespace_annotations: Mapping[str, str] | None = None,
    workload: str = "",
) -> Injection:
    """Decides about one pod (or pod template) and writes the patch. Never raises, never changes `pod`.

    `namespace` is where the pod will run (the pod itself may not say yet). `namespace_annotations` hold for pods
    that do not have the annotation themselves. `workload` (`deployment/web`) is read from the pod's owner if empty.
    """
    if namespace == settings.own_namespace or namespace in settings.excluded_namespaces:
        return Injection("skipped", f"namespace {namespace} is never injected")
    problems = shape_problems(pod)
    if problems:
        return _refused(problems)
    metadata: Mapping[str, Any] = pod.get("metadata") or {}
    own: Mapping[str, str] = metadata.get("annotations") or {}
    annotations = {**(namespace_annotations or {}), **own}
    label = (metadata.get("labels") or {}).get(names.INJECT)

    if own.get(names.INJECT) == "disabled":
        return Injection("skipped", f"annotated {names.INJECT}: disabled")
    if label == "disabled":
        return Injection("skipped", f"labelled {names.INJECT}: disabled")
    if label not in (None, "enabled"):
        return _refused([f'label {names.INJECT}: "{label}" is neither "enabled" nor "disabled"'])
    asked = "enabled" in (own.get(names.INJECT), label)
    if not asked and annotations.get(names.INJECT) == "disabled":
        return Injection("skipped", f"namespace {namespace} is annotated {names.INJECT}: disabled")
    if names.MIRROR_POD in own:
        return Injection("skipped", "it is a mirror of a static pod, which only the kubelet can change")
    obstacle = network_obstacle(pod)
    if obstacle and not asked:
        return Injection("skipped", obstacle, warnings=(f"not injected by Tulle: {obstacle}",))

    problems = [f"{obstacle}; change that, or remove {names.INJECT}: enabled"] if obstacle else []
    problems += annotation_problems(annotations)
    problems += uid_problems(pod) + name_problems(pod) + port_problems(pod)
    if problems:
        return _refused(problems)
    patch = _patch(pod, read_options(annotations, settings), settings, workload or workload_of(metadata))
    warnings = tuple(annotation_warnings(own))
    if not patch:
        return Injection("skipped", f"already injected ({own[names.INJECTED]})", warnings=warnings)
    return Injection("injected", patch=patch, warnings=warnings)


def _refused(problems: list[str]) -> Injection:
    return Injection("refused", as_one(problems))


def _patch(
    pod: Mapping[str, Any], options: ProxyOptions, settings: InjectSettings, workload: str
) -> list[Operation]:
    """The operations for the pieces that the pod does not have yet, in an order in which they can be applied."""
    patch = PatchBuilder(pod)
    patch.member(("metadata", "annotations", names.INJECTED), settings.version)
    for volume in volumes():
        if volume["name"] not in _names(pod, "volumes"):
            patch.insert(("spec", "volumes"), None, volume)

    inits, apps = _names(pod, "initContainers"), _names(pod, "containers")
    has_init = names.INIT_CONTAINER in inits
    has_proxy = names.PROXY_CONTAINER in (*inits, *apps)
    init = init_container(options, settings)
    proxy = proxy_container(options, settings, workload)
    if settings.mode == "native":
        place = inits.index(names.PROXY_CONTAINER) if names.PROXY_CONTAINER in inits else 0
        if has_init:
            place = inits.index(names.INIT_CONTAINER)
        else:
            patch.insert(("spec", "initContainers"), place, init)
        if not has_proxy:
            patch.insert(("spec", "initContainers"), place + 1, {**proxy, "restartPolicy": "Always"})
        return patch.operations

    # Classic: no proxy runs before the app's init containers have ended, so the redirection comes after them;
    # they keep their network, outside the mesh. The proxy is first among the containers, to start first.
    if not has_init:
        patch.insert(("spec", "initContainers"), None, init)
    if not has_proxy:
        patch.insert(("spec", "containers"), 0, proxy)
        patch.member(("metadata", "annotations", names.DEFAULT_CONTAINER), apps[0])
    return patch.operations


def _names(pod: Mapping[str, Any], field_name: str) -> list[str]:
    return [item["name"] for item in pod["spec"].get(field_name) or []]
