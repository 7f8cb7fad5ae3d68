"""The Deployment controller: carries out rollout.plan for one Deployment, again and again, until it is deleted.

Owns one task for each Deployment, so that a slow webhook holds up nobody else. All arithmetic is in rollout.py.
"""

from __future__ import annotations

import copy
import itertools

import trio

from tulle_lab.cluster import rollout
from tulle_lab.cluster.api import Api
from tulle_lab.cluster.objects import (
    Key,
    Object,
    condition,
    is_terminating,
    is_true,
    owner_reference,
    owner_uid,
    seconds,
)
from tulle_lab.errors import LabError

_PAUSE_FIRST, _PAUSE_MOST = 1.0, 30.0
"""Seconds until the next try when pods could not be made."""


class DeploymentController:
    """Reconciles one Deployment. Run `run` in a nursery; it ends when the object is gone."""

    def __init__(self, api: Api, key: Key, uid: str) -> None:
        self._api, self._store = api, api.store
        self._key, self._uid = key, uid
        self._failure, self._pause, self._not_before = "", _PAUSE_FIRST, 0.0
        self._progressed = 0.0
        self._counts: tuple[int, ...] = ()

    async def run(self) -> None:
        """Until the Deployment is gone."""
        while True:
            version = self._store.version
            deployment = self._store.get(*self._key)
            if deployment is None or deployment["metadata"]["uid"] != self._uid:
                return
            wake = await self._reconcile(deployment)
            with trio.move_on_after(wake):
                await self._store.wait_change(version)

    async def _reconcile(self, deployment: Object) -> float:
        """One step; seconds until the next is due without any change."""
        now = self._api.clock()
        spec = deployment["spec"]
        new_hash = rollout.template_hash(spec["template"])
        pods = self._pods()
        views = [
            _view(pod, age, spec.get("minReadySeconds", 0), now)
            for age, pod in zip(itertools.count(0, -1), pods, strict=False)
        ]
        self._write_status(deployment, new_hash, views, now)
        plan = rollout.plan(spec, new_hash, views)
        for name in plan.delete:
            self._api.delete_pod(Key("Pod", self._key.namespace, name))
        wake = _next_available(pods, spec.get("minReadySeconds", 0), now)
        if not plan.create:
            return wake
        if trio.current_time() >= self._not_before:
            await self._create(deployment, new_hash, plan.create)
        return min(wake, max(0.0, self._not_before - trio.current_time()))

    def _pods(self) -> list[Object]:
        """The Deployment's pods, oldest first; those that failed for good are deleted and do not count."""
        pods = []
        for pod in self._store.list("Pod", self._key.namespace):
            if owner_uid(pod) != self._uid:
                continue
            if pod.get("status", {}).get("phase") in ("Failed", "Succeeded") and not is_terminating(pod):
                self._api.delete_pod(Key("Pod", self._key.namespace, pod["metadata"]["name"]))
                continue
            pods.append(pod)
        return pods

    async def _create(self, deployment: Object, new_hash: str, count: int) -> None:
        """Make `count` pods at once; what went wrong, if anything did, in `_failure`."""
        failures: list[str] = []

        async def make() -> None:
            try:
                await self._api.admission.create(_pod(deployment, new_hash), self._key)
            except LabError as error:
                failures.append(str(error))
                self._api.events.warning(self._key, "FailedCreate", str(error))

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(make)
        self._failure = failures[0] if failures else ""
        if failures:
            self._not_before = trio.current_time() + self._pause
        self._pause = min(self._pause * 2, _PAUSE_MOST) if failures else _PAUSE_FIRST

    def _write_status(self, deployment: Object, new_hash: str, views: list[rollout.PodView], now: float) -> None:
        counts = (
            deployment["metadata"].get("generation", 1),
            len(views),
            sum(view.available for view in views),
            sum(view.hash == new_hash for view in views),
        )
        if counts != self._counts:
            self._counts, self._progressed = counts, now
        status = rollout.status(deployment, new_hash, views, now, self._progressed, self._failure)
        self._store.update(self._key, lambda obj: obj.update(status=status))


def _pod(deployment: Object, new_hash: str) -> Object:
    template = copy.deepcopy(deployment["spec"]["template"])
    metadata = template.get("metadata") or {}
    name = deployment["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-{new_hash}-",
            "namespace": deployment["metadata"]["namespace"],
            "labels": {**(metadata.get("labels") or {}), rollout.HASH_LABEL: new_hash},
            # left out when there are none, as on Kubernetes: a webhook's patch meets such pods there
            **({"annotations": metadata["annotations"]} if metadata.get("annotations") else {}),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": template["spec"],
    }


def _view(pod: Object, age: int, min_ready: float, now: float) -> rollout.PodView:
    ready = is_true(pod, "Ready")
    return rollout.PodView(
        name=pod["metadata"]["name"],
        hash=pod["metadata"]["labels"].get(rollout.HASH_LABEL, ""),
        ready=ready,
        available=ready and now - _ready_since(pod) >= min_ready,
        terminating=is_terminating(pod),
        age=age,
    )


def _ready_since(pod: Object) -> float:
    found = condition(pod, "Ready")
    return seconds(found["lastTransitionTime"]) if found else 0.0


def _next_available(pods: list[Object], min_ready: float, now: float) -> float:
    """Seconds until the next ready pod has been so for `min_ready`; infinite when there is none."""
    if not min_ready:
        return float("inf")
    waits = [_ready_since(pod) + min_ready - now for pod in pods if is_true(pod, "Ready")]
    return min((wait for wait in waits if wait > 0), default=float("inf")) + 0.01
