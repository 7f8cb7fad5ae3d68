"""What happens to a Pod between being asked for and being stored: service account, webhook, checks, name.

Owns the order, which is the API server's: the built-in account plug-in, the mutating webhook, the account plug-in again
(for containers that the webhook added), validation of the result.
"""

from __future__ import annotations

import copy

from tulle_lab.cluster import jsonpatch, webhook
from tulle_lab.cluster.events import Events
from tulle_lab.cluster.objects import Key, Object, random_suffix
from tulle_lab.cluster.store import Store
from tulle_lab.errors import Invalid, LabError
from tulle_lab.kinds.defaults import with_defaults
from tulle_lab.kinds.manifests import validate
from tulle_lab.launch.machine import NODE

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access"


class Rejected(LabError):
    """The pod may not be created."""


class PodAdmission:
    """Creates pods in the store."""

    def __init__(self, store: Store, events: Events, hook: webhook.Webhook) -> None:
        self._store, self._events, self._hook = store, events, hook

    async def create(self, pod: Object, about: Key) -> tuple[Object, list[str]]:
        """Admit and store; the stored pod and warnings. `about`: whom events speak of. Raises Rejected."""
        metadata = pod["metadata"]
        namespace = self._store.get("Namespace", "", metadata["namespace"])
        pod = self._with_account(copy.deepcopy(pod))
        warnings: list[str] = []
        if self._hook.is_installed and webhook.wants_injection(pod, namespace):
            pod, warnings = await self._mutate(pod, namespace, about)
            pod = self._with_account(pod)
        pod = with_defaults(pod)
        pod["spec"]["nodeName"] = NODE
        if not pod["metadata"].get("name"):
            pod["metadata"]["name"] = pod["metadata"]["generateName"] + random_suffix()
        pod["status"] = {"phase": "Pending"}
        if problems := validate(pod):
            raise Invalid("the pod is not valid after admission", problems)
        if self._store.get("Pod", metadata["namespace"], pod["metadata"]["name"]):
            raise Rejected(f"pod {pod['metadata']['name']} exists already")
        if self._store.get("Namespace", "", metadata["namespace"]) is None:  # it went while the webhook was asked
            raise Rejected(f"namespace {metadata['namespace']} is gone")
        return self._store.put(pod), warnings

    async def _mutate(self, pod: Object, namespace: Object | None, about: Key) -> tuple[Object, list[str]]:
        try:
            answer = await self._hook.call("/mutate", pod)
            patched = jsonpatch.apply(pod, answer.patch)
        except webhook.Denied as error:
            raise Rejected("the admission controller refuses the pod", str(error)) from error
        except (webhook.Unreachable, jsonpatch.BadPatch) as error:
            if webhook.fails_closed(namespace):
                raise Rejected(
                    "the pod is not created, because the admission controller cannot be asked",
                    str(error),
                    "tulle lab get pods -n tulle-system",
                ) from error
            warning = f"started without a proxy: the admission controller cannot be asked ({error})"
            self._events.warning(about, "FailedCallingWebhook", warning)
            return pod, [warning]
        return patched, answer.warnings

    def _with_account(self, pod: Object) -> Object:
        """The ServiceAccount admission plug-in: every container gets the pod's token. Changes `pod`."""
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        name = spec.setdefault("serviceAccountName", spec.pop("serviceAccount", "default"))
        account = self._store.get("ServiceAccount", namespace, name)
        if account is None:
            raise Rejected(
                f"there is no ServiceAccount {name} in namespace {namespace}", fix="apply a ServiceAccount of that name"
            )
        wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if wanted:
            _mount_token(spec)
        return pod


def _mount_token(spec: Object) -> None:
    volumes = spec.setdefault("volumes", [])
    if not any(volume["name"] == TOKEN_VOLUME for volume in volumes):
        volumes.append(
            {
                "name": TOKEN_VOLUME,
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                        {
                            "downwardAPI": {
                                "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
                            }
                        },
                    ]
                },
            }
        )
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount["mountPath"] == TOKEN_PATH for mount in mounts):
            mounts.append({"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True})
