"""Cluster DNS: which names exist and what they answer. Pure: objects and a query in, a reply out.

Follows the Kubernetes DNS-Based Service Discovery specification (kubernetes/dns, schema 1.1.0). Everything outside of
the cluster's zone does not exist, and says so at once: the lab has no way out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from dnslib import AAAA, PTR, QTYPE, RCODE, RD, RR, SOA, SRV, A, DNSRecord

from tulle_lab.cluster.objects import Object

DOMAIN = "cluster.local"
TTL = 5
"""Seconds, as CoreDNS' kubernetes plug-in answers."""

_PLAIN_UDP = 512  # RFC 1035 section 4.2.1, without EDNS
_LARGEST_UDP = 1232


@dataclass
class Zone:
    """Records by lower-case name without the final dot, then by type."""

    records: dict[str, dict[str, list[RD]]] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)
    """Names that exist only because longer ones do: they have no records, but they are there (RFC 8020)."""

    def add(self, name: str, kind: str, data: RD) -> None:
        """Add a record once."""
        name = name.lower()
        known = self.records.setdefault(name, {}).setdefault(kind, [])
        if data not in known:
            known.append(data)
        while "." in name:
            name = name.split(".", 1)[1]
            self.parents.add(name)


def zone(services: Iterable[Object], slices: Sequence[Object]) -> Zone:
    """All names of the cluster."""
    found = Zone()
    found.parents.add(f"svc.{DOMAIN}")
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        name = f"{metadata['name']}.{metadata['namespace']}.svc.{DOMAIN}"
        found.parents.add(name)
        if spec.get("clusterIP") == "None":
            _headless(found, name, service, slices)
            continue
        for ip in spec.get("clusterIPs") or []:
            _address(found, name, ip)
            _reverse(found, ip, name)
        for port in spec.get("ports") or []:
            _service_record(found, name, port.get("name"), port["protocol"], port["port"], name)
    return found


def _headless(found: Zone, name: str, service: Object, slices: Sequence[Object]) -> None:
    """The name answers with the pods' own addresses; each pod has a name below it."""
    not_ready_too = service["spec"].get("publishNotReadyAddresses", False)
    for piece in slices:
        metadata = piece["metadata"]
        if metadata["namespace"] != service["metadata"]["namespace"]:
            continue
        if (metadata.get("labels") or {}).get("kubernetes.io/service-name") != service["metadata"]["name"]:
            continue
        for endpoint in piece.get("endpoints") or []:
            if not ((endpoint.get("conditions") or {}).get("ready", True) or not_ready_too):
                continue
            for ip in endpoint["addresses"]:
                own = f"{endpoint.get('hostname') or ip.replace('.', '-').replace(':', '-')}.{name}"
                _address(found, name, ip)
                _address(found, own, ip)
                _reverse(found, ip, own)
                for port in piece.get("ports") or []:
                    _service_record(found, name, port.get("name"), port.get("protocol", "TCP"), port["port"], own)


def _address(found: Zone, name: str, ip: str) -> None:
    if ":" in ip:
        found.add(name, "AAAA", AAAA(ip))
    else:
        found.add(name, "A", A(ip))


def _service_record(found: Zone, name: str, port_name: str | None, protocol: str, port: int, target: str) -> None:
    if port_name:
        found.add(f"_{port_name}._{protocol.lower()}.{name}", "SRV", SRV(0, 100, port, target + "."))


def _reverse(found: Zone, ip: str, name: str) -> None:
    found.add(ip_address(ip).reverse_pointer, "PTR", PTR(name + "."))


def answer(query: bytes, names: Zone, *, udp: bool) -> bytes | None:
    """The reply to a query as it goes on the wire; None for what is not a DNS message (no answer is owed)."""
    try:
        request = DNSRecord.parse(query)
    except Exception:  # dnslib raises many kinds for malformed input
        return None
    if request.header.qr or not request.questions:
        return None
    question = request.q
    reply = request.reply(ra=0, aa=1)
    name, kind = str(question.qname).rstrip(".").lower(), QTYPE.get(question.qtype, str(question.qtype))
    records = names.records.get(name)
    if records is None and name not in names.parents:
        reply.header.rcode = RCODE.NXDOMAIN
    for data in (records or {}).get(kind, []):
        reply.add_answer(RR(question.qname, question.qtype, ttl=TTL, rdata=data))
        if kind == "SRV":
            _additional(reply, names, str(data.target).rstrip("."))
    if not reply.rr:
        reply.add_auth(
            RR(
                DOMAIN,
                QTYPE.SOA,
                ttl=TTL,
                rdata=SOA(f"ns.dns.{DOMAIN}", f"hostmaster.{DOMAIN}", (1, 7200, 1800, 86400, TTL)),
            )
        )
    packed: bytes = reply.pack()
    if udp and len(packed) > _udp_limit(request):
        packed = reply.truncate().pack()  # the client asks again over TCP
    return packed


def _additional(reply: DNSRecord, names: Zone, target: str) -> None:
    for kind in ("A", "AAAA"):
        for data in names.records.get(target, {}).get(kind, []):
            reply.add_ar(RR(target, getattr(QTYPE, kind), ttl=TTL, rdata=data))


def _udp_limit(request: DNSRecord) -> int:
    """What the client can take: its EDNS size (RFC 6891), within what is never fragmented."""
    sizes = [int(record.rclass) for record in request.ar if record.rtype == QTYPE.OPT]
    return min(max([*sizes, _PLAIN_UDP]), _LARGEST_UDP)
