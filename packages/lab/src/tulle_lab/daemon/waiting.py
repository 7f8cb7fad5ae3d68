"""Verbs that wait: until everything is ready, a rollout is done, a condition holds; and the end of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import trio

from tulle_lab.cluster import rollout
from tulle_lab.cluster.objects import Key, is_true
from tulle_lab.daemon.diagnosis import diagnose
from tulle_lab.daemon.lab import Lab
from tulle_lab.daemon.processes import pod_name
from tulle_lab.daemon.resources import deployment_key
from tulle_lab.daemon.server import Connection
from tulle_lab.errors import LabError
from tulle_lab.kinds.registry import by_any_name
from tulle_lab.kinds.schema import did_you_mean

_SETTLE = 0.5
"""Seconds that containers without a readiness probe have to run, to be believed."""


async def ready(lab: Lab, request: dict[str, Any], client: Connection, _: Any) -> Any:
    """{keys, timeout} -> items {line} as each workload becomes ready, then {}. A LabError says who is not."""
    keys = [Key(*key) for key in request["keys"] if key[0] in ("Deployment", "Pod", "Job")]
    told: set[Key] = set()
    settled = all(_probed(lab, key) for key in keys)
    with trio.move_on_after(request["timeout"]):
        while True:
            version = lab.store.version
            waiting = [key for key in keys if not _is_ready(lab, key)]
            for key in keys:
                if key not in waiting and key not in told and (settled or _probed(lab, key)):
                    told.add(key)
                    await client.item({"line": f"{key.kind.lower()} {key.name} is ready{_count(lab, key)}"})
            if not waiting and settled:
                await lab.settled(version)
                return {}
            if waiting:
                await lab.store.wait_change(version)
            else:
                settled = True
                await trio.sleep(_SETTLE)
    waiting = [key for key in keys if not _is_ready(lab, key)] or keys
    raise LabError(
        f"not ready after {request['timeout']:g} s",
        "".join(f"\n  {text}" for key in waiting for text in diagnose(lab, key)),
        f"tulle lab get pods -n {waiting[0].namespace}; tulle lab get events -n {waiting[0].namespace}",
    )


def _is_ready(lab: Lab, key: Key) -> bool:
    obj = lab.store.get(*key)
    if obj is None:
        return True
    if key.kind == "Deployment":
        return rollout.is_complete(obj)
    if key.kind == "Job":
        return is_true(obj, "Complete")
    return is_true(obj, "Ready") or obj["status"]["phase"] == "Succeeded"


def _probed(lab: Lab, key: Key) -> bool:
    """Whether readiness says something: a container without a probe is ready as soon as it runs, if only to crash."""
    obj = lab.store.get(*key)
    if obj is None or key.kind == "Job":
        return True
    spec = obj["spec"] if key.kind == "Pod" else obj["spec"]["template"]["spec"]
    return all("readinessProbe" in container for container in spec["containers"])


def _count(lab: Lab, key: Key) -> str:
    obj = lab.store.get(*key) or {}
    return f" ({obj['status']['readyReplicas']}/{obj['spec']['replicas']})" if key.kind == "Deployment" and obj else ""


async def rollout_status(lab: Lab, request: dict[str, Any], client: Connection, _: Any) -> Any:
    """{target, namespace, timeout} -> items {line}, then {lines}. LabError when it stands still or takes too long."""
    key = deployment_key(request["target"], request["namespace"])
    said = ""
    with trio.move_on_after(request["timeout"]):
        while True:
            version = lab.store.version
            deployment = lab.store.get(*key)
            if deployment is None:
                raise LabError(f"there is no Deployment {key.name} in namespace {key.namespace}")
            if rollout.is_complete(deployment):
                await lab.settled(version)
                return {"lines": [f'deployment "{key.name}" successfully rolled out']}
            status = deployment.get("status", {})
            if any(item.get("reason") == "ProgressDeadlineExceeded" for item in status.get("conditions") or []):
                raise LabError(
                    f"deployment {key.name} exceeded its progress deadline", "\n  ".join(["", *diagnose(lab, key)])
                )
            line = (
                f"waiting for rollout: {status.get('updatedReplicas', 0)} of {deployment['spec']['replicas']} updated, "
                f"{status.get('availableReplicas', 0)} available"
            )
            if line != said:
                said = line
                await client.item({"line": line})
            await lab.store.wait_change(version)
    raise LabError(
        f"the rollout of {key.name} is not done after {request['timeout']:g} s", "\n  ".join(["", *diagnose(lab, key)])
    )


async def wait(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{targets, namespace, for: "condition=Ready" or "delete", timeout} -> {lines}."""
    namespace = request["namespace"]
    keys = [_key(lab, target, namespace) for target in request["targets"]]
    holds, words = _condition(lab, request["for"], keys)
    with trio.move_on_after(request["timeout"]):
        while True:
            version = lab.store.version
            if all(holds(key) for key in keys):
                await lab.settled(version)
                return {"lines": [f"{key.kind.lower()}/{key.name} {words}" for key in keys]}
            await lab.store.wait_change(version)
    late = [key for key in keys if not holds(key)]
    raise LabError(
        f"timed out after {request['timeout']:g} s waiting for {request['for']}",
        "".join(f"\n  {text}" for key in late for text in diagnose(lab, key)),
    )


def _key(lab: Lab, target: str, namespace: str) -> Key:
    word, slash, name = target.rpartition("/")
    if not slash:
        return Key("Pod", namespace, pod_name(lab, target, namespace))
    kind = by_any_name(word)
    return Key(kind.name, namespace if kind.namespaced else "", name)


def _condition(lab: Lab, wanted: str, keys: Iterable[Key]) -> tuple[Callable[[Key], bool], str]:
    """The question for each key, and the words for the answer."""
    if wanted == "delete":
        return (lambda key: lab.store.get(*key) is None), "deleted"
    word, _, value = wanted.partition("=")
    if word != "condition" or not value:
        raise LabError(
            f"--for={wanted} is unknown", fix="--for=condition=Ready, --for=condition=Available, --for=delete"
        )
    name, _, status = value.partition("=")
    known = {
        "ready": "Ready",
        "available": "Available",
        "complete": "Complete",
        "failed": "Failed",
        "progressing": "Progressing",
        "initialized": "Initialized",
        "containersready": "ContainersReady",
    }
    if name.lower() not in known:
        raise LabError(f"condition {name!r} is unknown{did_you_mean(name, known.values())}")
    for key in keys:
        if lab.store.get(*key) is None:
            raise LabError(f"there is no {key}", fix=f"tulle lab get {key.kind.lower()} -n {key.namespace}")
    condition = known[name.lower()]

    def holds(key: Key) -> bool:
        obj = lab.store.get(*key)
        if obj is None:
            return False
        current = int(obj.get("status", {}).get("observedGeneration", 1 << 30))
        fresh = key.kind != "Deployment" or current >= obj["metadata"].get("generation", 1)
        return fresh and is_true(obj, condition) == (status.lower() != "false")

    return holds, "condition met"


async def down(lab: Lab, *_: Any) -> Any:
    """Stop everything in order -> {}. The lab's process ends right after its answer."""
    await lab.stop()
    return {}
