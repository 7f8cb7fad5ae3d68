"""The Job controller: runs pods until enough have succeeded (batch/v1, completionMode NonIndexed).

`next_step` is pure. One task for each Job carries it out.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import trio

from tulle_lab.cluster.api import Api
from tulle_lab.cluster.objects import Key, Object, is_terminating, owner_reference, owner_uid, timestamp
from tulle_lab.errors import LabError

_RETRY = 2.0


@dataclass(frozen=True)
class Step:
    """Pods to make now, and the Job's end if it has come: "Complete", "Failed" or ""."""

    create: int
    end: str


def next_step(spec: Object, active: int, succeeded: int, failed: int) -> Step:
    """What a Job does next, given its pods."""
    if succeeded >= spec["completions"]:
        return Step(0, "Complete")
    if failed > spec["backoffLimit"]:
        return Step(0, "Failed")
    return Step(max(0, min(spec["parallelism"], spec["completions"] - succeeded) - active), "")


class JobController:
    """Carries out one Job. Run `run` in a nursery; it ends with the Job or its object."""

    def __init__(self, api: Api, key: Key, uid: str) -> None:
        self._api, self._store, self._key, self._uid = api, api.store, key, uid

    async def run(self) -> None:
        """Until the Job has ended or is gone."""
        while True:
            version = self._store.version
            job = self._store.get(*self._key)
            if job is None or job["metadata"]["uid"] != self._uid:
                return
            pods = [pod for pod in self._store.list("Pod", self._key.namespace) if owner_uid(pod) == self._uid]
            phases = [pod.get("status", {}).get("phase", "Pending") for pod in pods if not is_terminating(pod)]
            succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
            active = len(phases) - succeeded - failed
            step = next_step(job["spec"], active, succeeded, failed)
            self._write_status(active, succeeded, failed, step.end)
            if step.end:
                return
            wait = float("inf") if await self._create(job, step.create) else _RETRY
            with trio.move_on_after(wait):
                await self._store.wait_change(version)

    async def _create(self, job: Object, count: int) -> bool:
        """Make pods; whether all could be made."""
        for _ in range(count):
            try:
                await self._api.admission.create(_pod(job), self._key)
            except LabError as error:
                self._api.events.warning(self._key, "FailedCreate", str(error))
                return False
        return True

    def _write_status(self, active: int, succeeded: int, failed: int, end: str) -> None:
        now = timestamp(self._api.clock())

        def change(job: Object) -> None:
            status = job.setdefault("status", {})
            status.setdefault("startTime", now)
            status.update(active=active, succeeded=succeeded, failed=failed)
            if end:
                status["conditions"] = [{"type": end, "status": "True", "lastTransitionTime": now}]
                if end == "Complete":
                    status["completionTime"] = now

        self._store.update(self._key, change)


def _pod(job: Object) -> Object:
    template = copy.deepcopy(job["spec"]["template"])
    metadata = template.get("metadata") or {}
    name = job["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-",
            "namespace": job["metadata"]["namespace"],
            "labels": {**(metadata.get("labels") or {}), "batch.kubernetes.io/job-name": name, "job-name": name},
            # left out when there are none, as on Kubernetes: a webhook's patch meets such pods there
            **({"annotations": metadata["annotations"]} if metadata.get("annotations") else {}),
            "ownerReferences": [owner_reference(job)],
        },
        "spec": template["spec"],
    }
