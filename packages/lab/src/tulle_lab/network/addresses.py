"""Who has which address: the node, the pods (cluster CIDR), the Services (service CIDR). Pure.

Owns the ranges, which are kubeadm's customary ones; IPv6 from the unique local range (RFC 4193).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from tulle_lab.errors import LabError

POD_RANGES = (IPv4Network("10.244.0.0/16"), IPv6Network("fd00:10:244::/112"))
SERVICE_RANGES = (IPv4Network("10.96.0.0/16"), IPv6Network("fd00:10:96::/112"))
NODE_ADDRESSES = (str(POD_RANGES[0][1]), str(POD_RANGES[1][1]))
"""The node is the first address of the pods' range, as seen from every pod: its gateway."""

DNS_ADDRESSES = (str(SERVICE_RANGES[0][10]), str(SERVICE_RANGES[1][10]))
FAMILIES = ("IPv4", "IPv6")

_FIRST_POD, _FIRST_SERVICE, _LAST = 2, 100, 65_534


def family_of(address: str) -> str:
    """ "IPv4" or "IPv6"."""
    return "IPv6" if ":" in address else "IPv4"


def in_service_range(address: str) -> bool:
    """Whether this could be a ClusterIP."""
    parsed = ip_address(address)
    return any(parsed in network for network in SERVICE_RANGES)


@dataclass
class Pool:
    """Hands out the same offset in both families. An address comes back into use as late as possible, so that a late
    packet for a former pod does not reach its successor."""

    ranges: tuple[IPv4Network, IPv6Network]
    first: int
    used: set[int] = field(default_factory=set)
    next: int = 0

    def take(self) -> tuple[str, str]:
        """The next free pair. Raises LabError when all 65,000 are in use."""
        for step in range(_LAST - self.first):
            offset = self.first + (self.next + step) % (_LAST - self.first)
            if offset not in self.used:
                self.used.add(offset)
                self.next = offset - self.first + 1
                return str(self.ranges[0][offset]), str(self.ranges[1][offset])
        raise LabError(f"no address is left in {self.ranges[0]}", fix="delete pods or Services")

    def reserve(self, address: str) -> None:
        """Mark an address as used. Raises LabError when it is outside of the range, or taken."""
        offset = self._offset(address)
        if offset in self.used:
            raise LabError(f"the address {address} is in use")
        self.used.add(offset)

    def release(self, address: str) -> None:
        """Give an address (and its twin of the other family) back."""
        self.used.discard(self._offset(address))

    def pair_of(self, address: str) -> tuple[str, str]:
        """The address and its twin, IPv4 first."""
        offset = self._offset(address)
        return str(self.ranges[0][offset]), str(self.ranges[1][offset])

    def _offset(self, address: str) -> int:
        parsed: Any = ip_address(address)
        for network in self.ranges:
            if parsed in network:
                return int(parsed) - int(network.network_address)
        raise LabError(f"{address} is outside of {self.ranges[0]} and {self.ranges[1]}")


def pod_pool() -> Pool:
    """Addresses for pods."""
    return Pool(POD_RANGES, _FIRST_POD)


def service_pool() -> Pool:
    """Addresses for Services."""
    return Pool(SERVICE_RANGES, _FIRST_SERVICE)
