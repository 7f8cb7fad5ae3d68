"""What may be done to the cluster's objects: apply (apply.py), delete, scale, restart. The API server's part.

Owns deletion, with what belongs to the deleted, and the two changes that need no manifest.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tulle_lab.cluster import webhook
from tulle_lab.cluster.apply import RESTARTED_AT, Apply
from tulle_lab.cluster.events import Events
from tulle_lab.cluster.objects import Key, Object, key_of, owner_uid, timestamp
from tulle_lab.cluster.pod_admission import PodAdmission
from tulle_lab.cluster.services import ClusterIPs
from tulle_lab.cluster.store import Store
from tulle_lab.errors import LabError, NotFound
from tulle_lab.kinds.registry import KINDS

_PROTECTED = ("default", "kube-system", "tulle-system")


class Api:
    """The cluster's objects, changed by the rules."""

    def __init__(
        self,
        store: Store,
        events: Events,
        hook: webhook.Webhook,
        addresses: ClusterIPs,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.events, self.clock = store, events, clock
        self.admission = PodAdmission(store, events, hook)
        self._addresses = addresses
        self.apply = Apply(store, hook, self.admission, addresses)

    # --- delete ---------------------------------------------------------------------------------------------

    def delete(self, key: Key, grace: int | None = None) -> None:
        """Delete an object and what belongs to it. Pods are asked to stop. Raises NotFound."""
        obj = self.store.get(*key)
        if obj is None:
            raise not_found(key)
        if key.kind == "Namespace":
            if key.name in _PROTECTED:
                raise LabError(f"namespace {key.name} belongs to the lab and stays", fix="tulle lab down")
            self._delete_namespace(key.name, grace)
            return
        if key.kind == "Pod":
            self.delete_pod(key, grace)
            return
        if key.kind == "Service":
            self._addresses.release(obj)
        self.store.delete(key)
        for other in list(self.store.all()):
            if owner_uid(other) == obj["metadata"]["uid"]:
                self.delete(key_of(other), grace)

    def delete_pod(self, key: Key, grace: int | None = None) -> None:
        """Ask a pod to stop within `grace` seconds (its own grace period when None). Twice is once."""
        stamp = timestamp(self.clock())

        def mark(pod: Object) -> None:
            metadata = pod["metadata"]
            own = pod["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
            metadata.setdefault("deletionTimestamp", stamp)
            metadata.setdefault("deletionGracePeriodSeconds", own)

        self.store.update(key, mark)

    def _delete_namespace(self, name: str, grace: int | None) -> None:
        """Everything in it, and then (see controllers.py, when the last pod has ended) itself."""
        key = Key("Namespace", "", name)
        stamp = timestamp(self.clock())

        def mark(namespace: Object) -> None:
            namespace["metadata"].setdefault("deletionTimestamp", stamp)
            namespace["status"] = {"phase": "Terminating"}

        self.store.update(key, mark)
        for obj in list(self.store.all()):
            if obj["metadata"].get("namespace") == name and self.store.get(*key_of(obj)):
                self.delete(key_of(obj), grace)

    # --- scale and restart ----------------------------------------------------------------------------------

    def scale(self, key: Key, replicas: int) -> None:
        """Set a Deployment's replicas. Raises NotFound."""
        self._change(key, lambda obj: obj["spec"].update(replicas=replicas))

    def restart(self, key: Key) -> None:
        """Replace a Deployment's pods by a rollout, as `kubectl rollout restart` does. Raises NotFound."""
        stamp = f"{self.clock():.3f}"

        def change(obj: Object) -> None:
            metadata = obj["spec"]["template"].setdefault("metadata", {})
            metadata.setdefault("annotations", {})[RESTARTED_AT] = stamp

        self._change(key, change)

    def _change(self, key: Key, change: Callable[[Object], None]) -> None:
        old = self.store.get(*key)
        if old is None:
            raise not_found(key)

        def and_count(obj: Object) -> None:
            change(obj)
            if obj["spec"] != old["spec"]:
                obj["metadata"]["generation"] = obj["metadata"].get("generation", 1) + 1

        self.store.update(key, and_count)


def not_found(key: Key) -> NotFound:
    """The error for an object that is not there."""
    kind = KINDS[key.kind].plural if key.kind in KINDS else key.kind
    where = f" in namespace {key.namespace}" if key.namespace else ""
    flag = f" -n {key.namespace}" if key.namespace else ""
    return NotFound(f"there is no {key.kind} {key.name}{where}", fix=f"tulle lab get {kind}{flag}")
