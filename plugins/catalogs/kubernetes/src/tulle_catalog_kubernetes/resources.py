"""The kinds that a mesh is made of, and where the API server has them. A table; nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind. `versions`: those that we read, the best first. `optional`: a cluster may not have it (a CRD)."""

    kind: str
    plural: str
    group: str = ""
    versions: tuple[str, ...] = ("v1",)
    namespaced: bool = True
    optional: bool = False

    def api_version(self, version: str) -> str:
        """As objects write it."""
        return f"{self.group}/{version}" if self.group else version

    def path(self, version: str) -> str:
        """Where all of them are, in every namespace."""
        return f"/apis/{self.group}/{version}/{self.plural}" if self.group else f"/api/{version}/{self.plural}"


_GATEWAY = "gateway.networking.k8s.io"

RESOURCES = (
    Resource("Namespace", "namespaces", namespaced=False),
    Resource("Service", "services"),
    Resource("EndpointSlice", "endpointslices", "discovery.k8s.io"),
    Resource("Pod", "pods"),
    Resource("HTTPRoute", "httproutes", _GATEWAY, ("v1", "v1beta1"), optional=True),
    Resource("GRPCRoute", "grpcroutes", _GATEWAY, ("v1",), optional=True),
    Resource("ReferenceGrant", "referencegrants", _GATEWAY, ("v1", "v1beta1"), optional=True),
    Resource("MeshPolicy", "meshpolicies", "tulle.dev", ("v1alpha1",), optional=True),
)
