"""Apply: creates and changes objects as a manifest says. All of a file or nothing.

Owns what is checked before anything changes, what stays as it was, and what cannot be changed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from tulle_lab.cluster import webhook
from tulle_lab.cluster.objects import Key, Object, annotations_of, is_terminating, key_of
from tulle_lab.cluster.pod_admission import PodAdmission
from tulle_lab.cluster.services import ClusterIPs
from tulle_lab.cluster.store import Store
from tulle_lab.errors import Invalid, LabError
from tulle_lab.kinds.defaults import with_defaults

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation of a pod that was applied by itself: the spec that was asked for, before admission added to it."""

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

_OWN_ANNOTATIONS = "tulle.dev/"


@dataclass(frozen=True)
class Applied:
    """One line of `apply`: `deployment.apps/app-a configured`."""

    key: Key
    done: str  # created, configured, unchanged; refused for a pod that admission refused


class Apply:
    """Applies manifests, one file at a time."""

    def __init__(self, store: Store, hook: webhook.Webhook, admission: PodAdmission, addresses: ClusterIPs) -> None:
        self.store = store
        self._hook, self._admission, self._addresses = hook, admission, addresses
        self._lock = trio.Lock()  # between the checks and the changes of one apply nothing moves

    async def __call__(self, objects: Sequence[Object], *, validate: bool = True) -> tuple[list[Applied], list[str]]:
        """Create or change all of `objects` (valid in shape); lines and warnings. Raises Invalid, changing nothing."""
        async with self._lock:
            prepared = [with_defaults(self._keep_what_is_left_out(obj)) for obj in objects]
            problems = self._check_namespaces(prepared) + self._check_changes(prepared)
            warnings = await self._ask_webhook(prepared, problems) if validate and not problems else []
            merged = self._merge_all(prepared, problems)
            if problems:
                raise Invalid("refused, nothing was changed", problems)
            done = []
            for new, old in merged:
                line, more = await self._store_one(new, old)
                done.append(line)
                warnings += more
            return done, warnings

    def _keep_what_is_left_out(self, obj: Object) -> Object:
        """What `scale` and `rollout restart` had set stays, unless the manifest says otherwise (a three-way merge)."""
        old = self.store.get(*key_of(obj))
        if obj["kind"] != "Deployment" or old is None:
            return obj
        new = copy.deepcopy(obj)
        new["spec"].setdefault("replicas", old["spec"]["replicas"])
        stamp = (old["spec"]["template"].get("metadata") or {}).get("annotations", {}).get(RESTARTED_AT)
        if stamp:
            metadata = new["spec"]["template"].setdefault("metadata", {})
            metadata.setdefault("annotations", {}).setdefault(RESTARTED_AT, stamp)
        return new

    def _check_namespaces(self, objects: list[Object]) -> list[str]:
        coming = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace"}
        problems = []
        for obj in objects:
            name = obj["metadata"].get("namespace", "")
            found = self.store.get("Namespace", "", name)
            if name and name not in coming and (found is None or is_terminating(found)):
                problems.append(f"{_say(obj)}: there is no namespace {name!r}; add a Namespace object for it")
        return problems

    def _check_changes(self, objects: list[Object]) -> list[str]:
        """Changes of what cannot be changed."""
        problems = []
        for obj in objects:
            old = self.store.get(*key_of(obj))
            if old is None:
                continue
            if is_terminating(old):
                problems.append(f"{_say(obj)}: it is being deleted; wait until it is gone, then apply")
            elif obj["kind"] == "Pod" and obj["spec"] != json.loads(annotations_of(old).get(LAST_APPLIED, "{}")):
                problems.append(f"{_say(obj)}: a pod's spec cannot be changed; delete the pod, then apply")
            elif obj["kind"] == "Deployment" and obj["spec"]["selector"] != old["spec"]["selector"]:
                problems.append(f"{_say(obj)}: spec.selector cannot be changed; delete the Deployment, then apply")
            elif obj["kind"] == "ConfigMap" and old.get("immutable") and obj.get("data") != old.get("data"):
                problems.append(f"{_say(obj)}: it is immutable; delete it, then apply")
            elif obj["kind"] == "Job" and obj["spec"] != old["spec"]:
                problems.append(f"{_say(obj)}: a Job cannot be changed; delete it, then apply")
        return problems

    async def _ask_webhook(self, objects: list[Object], problems: list[str]) -> list[str]:
        """Have the admission controller validate what is Tulle's: warnings; refusals are added to `problems`."""
        if not self._hook.is_installed:
            return []
        warnings: list[str] = []
        for obj in objects:
            if not _concerns_tulle(obj) or obj["metadata"].get("namespace") in webhook.SYSTEM_NAMESPACES:
                continue
            namespace = self.store.get("Namespace", "", obj["metadata"].get("namespace", ""))
            try:
                answer = await self._hook.call("/validate", obj, self.store.get(*key_of(obj)))
                warnings += [f"{_say(obj)}: {warning}" for warning in answer.warnings]
            except webhook.Denied as error:
                problems.append(f"{_say(obj)}: {error}")
            except webhook.Unreachable as error:
                if webhook.fails_closed(namespace):
                    problems.append(f"{_say(obj)}: the admission controller cannot be asked ({error})")
                else:
                    warnings.append(f"{_say(obj)}: not validated, the admission controller cannot be asked ({error})")
        return warnings

    def _merge_all(self, objects: list[Object], problems: list[str]) -> list[tuple[Object, Object | None]]:
        """Each object as it will be stored, and as it is now. Adds to `problems`; then no address stays taken."""
        merged: list[tuple[Object, Object | None]] = []
        for obj in objects:
            old = self.store.get(*key_of(obj))
            try:
                merged.append((self._merge(obj, old), old))
            except LabError as error:
                problems.append(f"{_say(obj)}: {error}")
        if problems:
            for new, old in merged:
                if new["kind"] == "Service" and old is None:
                    self._addresses.release(new)
        return merged

    def _merge(self, obj: Object, old: Object | None) -> Object:
        """The new manifest, with what the cluster itself had filled in."""
        new = copy.deepcopy(obj)
        new.pop("status", None)
        if obj["kind"] == "Pod":
            new["metadata"].setdefault("annotations", {})[LAST_APPLIED] = json.dumps(obj["spec"], sort_keys=True)
        if old is not None:
            if "status" in old:
                new["status"] = old["status"]
            if obj["kind"] == "Pod":  # admission had added to it
                new["spec"] = old["spec"]
                for field in ("labels", "annotations"):
                    new["metadata"][field] = {
                        **(old["metadata"].get(field) or {}),
                        **(new["metadata"].get(field) or {}),
                    }
        if obj["kind"] == "Service":
            self._addresses.assign(new, old)
        if obj["kind"] == "Namespace":
            new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]
            new["status"] = {"phase": "Active"}
        return new

    async def _store_one(self, new: Object, old: Object | None) -> tuple[Applied, list[str]]:
        key = key_of(new)
        if new["kind"] == "Pod" and old is None:
            try:
                _, warnings = await self._admission.create(new, key)
            except LabError as error:
                return Applied(key, "refused"), [f"{_say(new)}: {error}"]
            return Applied(key, "created"), [f"{_say(new)}: {warning}" for warning in warnings]
        if old is not None and _same(new, old):
            return Applied(key, "unchanged"), []
        before = old["metadata"].get("generation", 1) if old else 0
        new["metadata"]["generation"] = before + (old is None or new.get("spec") != old.get("spec"))
        current = self.store.get(*key)
        if current is not None and "status" in current and new["kind"] != "Namespace":
            new["status"] = current["status"]  # a controller may have written it meanwhile
        self.store.put(new)
        if new["kind"] == "Namespace":
            self._default_account(key.name)
        return Applied(key, "configured" if old else "created"), []

    def _default_account(self, namespace: str) -> None:
        if self.store.get("ServiceAccount", namespace, "default") is None:
            self.store.put(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
            )


def _concerns_tulle(obj: Object) -> bool:
    """What the ValidatingWebhookConfiguration names: MeshPolicies, and our annotations on Pods and Namespaces."""
    if obj["kind"] in ("Pod", "Namespace"):
        return any(name.startswith(_OWN_ANNOTATIONS) for name in annotations_of(obj))
    return str(obj["kind"]) == "MeshPolicy"


def _same(new: Object, old: Object) -> bool:
    ignored = ("uid", "creationTimestamp", "resourceVersion", "generation")

    def reduced(obj: Object) -> Object:
        return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in ignored and v}}

    return reduced(new) == reduced(old)


def _say(obj: Object) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"
