"""What kube-proxy does: ClusterIPs become iptables NAT rules on the node. Pure: objects in, iptables-restore text out.

Owns chains and rules, named as kube-proxy names them (mode iptables), so that what is learned here is true there.
They serve clients outside of the mesh, on pods (PREROUTING) and on the node (OUTPUT); a meshed pod's own proxy has
chosen an endpoint before a packet gets here. Fine here; kube-proxy also does node ports, load balancers, affinity.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tulle_lab.cluster.objects import Object
from tulle_lab.network.addresses import SERVICE_RANGES, family_of

SERVICE_LABEL = "kubernetes.io/service-name"
_MASQUERADE = "0x4000"
_HEAD = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
"""
_RULES = f"""\
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark {_MASQUERADE}/{_MASQUERADE}
-A KUBE-POSTROUTING -m mark ! --mark {_MASQUERADE}/{_MASQUERADE} -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark {_MASQUERADE}/0x0
-A KUBE-POSTROUTING -m comment --comment "a pod that reaches itself" -j MASQUERADE
"""


@dataclass(frozen=True)
class ServicePort:
    """One port of one Service in one address family."""

    namespace: str
    name: str
    port_name: str
    protocol: str  # TCP, UDP, SCTP
    vip: str
    port: int
    endpoints: tuple[tuple[str, int], ...]

    @property
    def label(self) -> str:
        """`namespace/name:port`, as kube-proxy's comments say it."""
        return f"{self.namespace}/{self.name}" + (f":{self.port_name}" if self.port_name else "")

    @property
    def chain(self) -> str:
        """KUBE-SVC-..."""
        return "KUBE-SVC-" + _hash(self.label + self.protocol.lower())

    def endpoint_chain(self, endpoint: tuple[str, int]) -> str:
        """KUBE-SEP-..."""
        return "KUBE-SEP-" + _hash(self.label + self.protocol.lower() + _address(*endpoint))


def service_ports(services: Iterable[Object], slices: Sequence[Object], family: str) -> list[ServicePort]:
    """Every port with a ClusterIP of `family` ("IPv4", "IPv6"), with the endpoints that take traffic."""
    found: list[ServicePort] = []
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        own = [piece for piece in slices if _belongs(piece, metadata) and piece["addressType"] == family]
        for vip in spec.get("clusterIPs") or []:
            if vip == "None" or family_of(vip) != family:
                continue
            found += [
                ServicePort(
                    metadata["namespace"],
                    metadata["name"],
                    port.get("name", ""),
                    port["protocol"],
                    vip,
                    port["port"],
                    tuple(_endpoints(own, port.get("name", ""), port["protocol"])),
                )
                for port in spec.get("ports") or []
            ]
    return found


def _belongs(piece: Object, service: Object) -> bool:
    labels = piece["metadata"].get("labels") or {}
    return (piece["metadata"]["namespace"], labels.get(SERVICE_LABEL)) == (service["namespace"], service["name"])


def _endpoints(slices: list[Object], port_name: str, protocol: str) -> list[tuple[str, int]]:
    """Ready endpoints; when there are none, those that still serve while they terminate (KEP-1669)."""
    ready, serving = [], []
    for piece in slices:
        for port in piece.get("ports") or []:
            if port.get("name", "") != port_name or port.get("protocol", "TCP") != protocol:
                continue
            for endpoint in piece.get("endpoints") or []:
                conditions = endpoint.get("conditions") or {}
                pair = (endpoint["addresses"][0], port["port"])
                if conditions.get("ready", True):
                    ready.append(pair)
                elif conditions.get("serving"):
                    serving.append(pair)
    return sorted(ready or serving)


def render(ports: Sequence[ServicePort], family: str) -> str:
    """The whole nat and filter tables of one family, for `iptables-restore` (which swaps each in one step)."""
    chains, rules = [], []
    for port in ports:
        if not port.endpoints:
            continue
        chains.append(f":{port.chain} - [0:0]")
        protocol = port.protocol.lower()
        rules.append(
            f'-A KUBE-SERVICES -d {_host(port.vip)} -p {protocol} -m comment --comment "{port.label} cluster IP"'
            f" -m {protocol} --dport {port.port} -j {port.chain}"
        )
        for index, endpoint in enumerate(port.endpoints):
            chains.append(f":{port.endpoint_chain(endpoint)} - [0:0]")
            rules += _endpoint_rules(port, endpoint, len(port.endpoints) - index)
    return "\n".join([_HEAD + "\n".join(chains), _RULES + "\n".join(rules), "COMMIT", *_filter(ports, family), ""])


def _endpoint_rules(port: ServicePort, endpoint: tuple[str, int], left: int) -> list[str]:
    """The choice of this endpoint among those `left` to choose from, and its rewriting."""
    chain, comment = port.endpoint_chain(endpoint), f'-m comment --comment "{port.label}"'
    chance = "" if left == 1 else f" -m statistic --mode random --probability {1 / left:.11f}"
    protocol = port.protocol.lower()
    return [
        f'-A {port.chain} -m comment --comment "{port.label} -> {_address(*endpoint)}"{chance} -j {chain}',
        f"-A {chain} -s {_host(endpoint[0])} {comment} -j KUBE-MARK-MASQ",
        f"-A {chain} -p {protocol} {comment} -m {protocol} -j DNAT --to-destination {_address(*endpoint)}",
    ]


def _filter(ports: Sequence[ServicePort], family: str) -> list[str]:
    """Refusal at once where nobody answers: Services without endpoints, by name, then every other ClusterIP.

    TCP is reset, where kube-proxy sends an ICMP message: on that, an IPv6 client would wait for its second SYN.
    """
    icmp = "icmp-port-unreachable" if family == "IPv4" else "icmp6-port-unreachable"
    vips = SERVICE_RANGES[0 if family == "IPv4" else 1]
    lines = ["*filter", *(f":{name} ACCEPT [0:0]" for name in ("INPUT", "FORWARD", "OUTPUT")), ":KUBE-SERVICES - [0:0]"]
    lines += [f"-A {hook} -d {vips} -j KUBE-SERVICES" for hook in ("FORWARD", "OUTPUT")]
    for port in ports:
        if not port.endpoints:
            protocol, comment = port.protocol.lower(), f"{port.label} has no endpoints"
            reject = "tcp-reset" if protocol == "tcp" else icmp
            lines.append(
                f'-A KUBE-SERVICES -d {_host(port.vip)} -p {protocol} -m comment --comment "{comment}"'
                f" -m {protocol} --dport {port.port} -j REJECT --reject-with {reject}"
            )
    for match, reject in (("-p tcp ", "tcp-reset"), ("", icmp)):
        lines.append(f'-A KUBE-SERVICES {match}-m comment --comment "no such Service" -j REJECT --reject-with {reject}')
    return [*lines, "COMMIT"]


def _hash(text: str) -> str:
    """kube-proxy's: SHA-256 in base 32, 16 characters."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def _host(ip: str) -> str:
    return f"{ip}/{128 if ':' in ip else 32}"


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
