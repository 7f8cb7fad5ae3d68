"""The kinds that the lab has, by every name that a person may call them.

Owns names, API versions and which table belongs to which. Kinds that Kubernetes has and the lab refuses have a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle_lab.errors import LabError
from tulle_lab.kinds import config, gateway, pods, services, workloads
from tulle_lab.kinds.schema import Shape, did_you_mean


@dataclass(frozen=True)
class Kind:
    """A kind of object."""

    name: str
    api_version: str
    shape: Shape
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    also: tuple[str, ...] = ()
    """API versions in which the same is understood."""

    @property
    def resource(self) -> str:
        """As kubectl prints it: `deployment.apps`."""
        group = self.api_version.rpartition("/")[0]
        return f"{self.name.lower()}.{group}" if group else self.name.lower()


_GATEWAY, _BETA = "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (  # in the order in which `apply` creates them
        Kind("Namespace", "v1", config.NAMESPACE, "namespaces", ("ns",), namespaced=False),
        Kind("ServiceAccount", "v1", config.SERVICE_ACCOUNT, "serviceaccounts", ("sa",)),
        Kind("ConfigMap", "v1", config.CONFIG_MAP, "configmaps", ("cm",)),
        Kind("Service", "v1", services.SERVICE, "services", ("svc",)),
        Kind("EndpointSlice", "discovery.k8s.io/v1", services.ENDPOINT_SLICE, "endpointslices"),
        Kind("HTTPRoute", _GATEWAY, gateway.HTTP_ROUTE, "httproutes"),
        Kind("GRPCRoute", _GATEWAY, gateway.GRPC_ROUTE, "grpcroutes"),
        Kind("ReferenceGrant", _GATEWAY, gateway.REFERENCE_GRANT, "referencegrants", ("refgrant",), also=(_BETA,)),
        Kind("MeshPolicy", "tulle.dev/v1alpha1", config.MESH_POLICY, "meshpolicies"),
        Kind("Pod", "v1", pods.POD, "pods", ("po",)),
        Kind("Job", "batch/v1", workloads.JOB, "jobs"),
        Kind("Deployment", "apps/v1", workloads.DEPLOYMENT, "deployments", ("deploy",)),
    )
}

EVENT = Kind("Event", "v1", config.NAMESPACE, "events", ("ev",))
"""Written by the lab, read by `get events`; never applied."""

REFUSED = {
    "Secret": "the lab keeps no Secrets; use a ConfigMap",
    "StatefulSet": "use a Deployment (there are no persistent volumes here)",
    "DaemonSet": "there is one node; use a Deployment",
    "ReplicaSet": "use a Deployment",
    "CronJob": "use a Job",
    "Ingress": "nothing outside of the lab can reach it; use `tulle lab exec node -- curl ...`",
    "Gateway": "nothing outside of the lab can reach it; attach the route to a Service",
    "NetworkPolicy": "no policy engine reads it here; use a MeshPolicy of type authorization",
    "CustomResourceDefinition": "the kinds of the lab are fixed",
    "MutatingWebhookConfiguration": "the lab calls Tulle's own webhook by itself",
    "ValidatingWebhookConfiguration": "the lab calls Tulle's own webhook by itself",
    **dict.fromkeys(("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"), "there is no API server to protect"),
    **dict.fromkeys(("PersistentVolume", "PersistentVolumeClaim", "StorageClass"), "volumes live in memory"),
    **dict.fromkeys(
        ("HorizontalPodAutoscaler", "PodDisruptionBudget", "ResourceQuota", "LimitRange"),
        "nothing here scales by itself",
    ),
}


def by_any_name(word: str) -> Kind:
    """The kind that a person means by `deploy`, `deployments`, `Deployment`, `deployment.apps`. Raises LabError."""
    wanted = word.lower()
    for kind in [*KINDS.values(), EVENT]:
        if wanted in (kind.name.lower(), kind.plural, kind.resource, *kind.short):
            return kind
    known = [name for kind in KINDS.values() for name in (kind.plural, *kind.short)]
    raise LabError(f"the lab has no kind {word!r}{did_you_mean(wanted, known)}")


def kind_problem(api_version: object, name: object) -> str:
    """What is wrong with an object's apiVersion and kind; empty when the lab has it."""
    if not isinstance(name, str) or not name:
        return "kind: required, and missing"
    if name in REFUSED:
        return f"kind: the lab does not have {name}: {REFUSED[name]}"
    kind = KINDS.get(name)
    if kind is None:
        return f"kind: unknown kind {name!r}{did_you_mean(name, KINDS)}"
    if api_version not in (kind.api_version, *kind.also):
        return f"apiVersion: {name} is {kind.api_version} here, not {api_version}"
    return ""
