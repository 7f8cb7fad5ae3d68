"""ClusterIPs: which addresses a Service has (core/v1 ServiceSpec.clusterIPs, ipFamilies, ipFamilyPolicy).

Owns the pool of Service addresses. Refuses to know rules and names, which follow from the objects.
"""

from __future__ import annotations

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError
from tulle_lab.network.addresses import FAMILIES, SERVICE_RANGES, Pool, in_service_range, service_pool

NONE = "None"


class ClusterIPs:
    """Gives Services their addresses and takes them back."""

    def __init__(self, ipv6: bool, pool: Pool | None = None) -> None:
        self._ipv6 = ipv6
        self._pool = pool or service_pool()

    def assign(self, service: Object, old: Object | None) -> None:
        """Fill in clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, in place. Raises LabError."""
        spec = service["spec"]
        policy = spec.setdefault("ipFamilyPolicy", "SingleStack")
        wanted = self._families(spec.get("ipFamilies") or [], policy)
        headless = spec.get("clusterIP") == NONE
        if old is not None and (old["spec"].get("clusterIP") == NONE) != headless:
            raise LabError(
                "spec.clusterIP: a Service cannot become headless, or cease to be", fix="delete it first, then apply"
            )
        spec["ipFamilies"] = wanted
        if headless:
            spec["clusterIPs"] = [NONE]
            return
        kept = old["spec"]["clusterIPs"] if old else []
        asked = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
        if old is not None and asked and asked[0] != kept[0]:
            raise LabError(
                f"spec.clusterIP: cannot change from {kept[0]} to {asked[0]}",
                fix="delete the Service first, then apply",
            )
        pair = self._pair(asked, kept)
        spec["clusterIPs"] = [pair[FAMILIES.index(family)] for family in wanted]
        spec["clusterIP"] = spec["clusterIPs"][0]

    def release(self, service: Object) -> None:
        """The Service is gone."""
        for address in service["spec"].get("clusterIPs") or []:
            if address != NONE and in_service_range(address):
                self._pool.release(address)

    def _families(self, asked: list[str], policy: str) -> list[str]:
        if policy == "RequireDualStack" and not self._ipv6:
            raise LabError("spec.ipFamilyPolicy: RequireDualStack, but IPv6 is switched off on this machine")
        dual = policy != "SingleStack" and self._ipv6
        first = asked[0] if asked else FAMILIES[0]
        if first == "IPv6" and not self._ipv6:
            raise LabError("spec.ipFamilies: IPv6 is switched off on this machine")
        if policy == "SingleStack" and len(asked) > 1:
            raise LabError("spec.ipFamilies: two families need ipFamilyPolicy PreferDualStack or RequireDualStack")
        return [first, next(family for family in FAMILIES if family != first)] if dual else [first]

    def _pair(self, asked: list[str], kept: list[str]) -> tuple[str, str]:
        """Both addresses of the Service's place in the pool: kept, asked for, or new."""
        if kept:
            return self._pool.pair_of(kept[0])
        if not asked:
            return self._pool.take()
        if not in_service_range(asked[0]):
            raise LabError(f"spec.clusterIP: {asked[0]} is outside of {SERVICE_RANGES[0]} and {SERVICE_RANGES[1]}")
        self._pool.reserve(asked[0])
        return self._pool.pair_of(asked[0])
