"""The policy: which connections go through the proxy, and why. Pure values; no iptables syntax but matches.

Two chains in the nat table. The kernel consults it once per connection, for the first packet, and the verdict
holds for the rest, so that its cost is per connection. REDIRECT keeps the original destination, which the
proxy reads with SO_ORIGINAL_DST.

    app -> OUTPUT -> TULLE_OUTPUT -> proxy's outbound port (on 127.0.0.1 or ::1)
    network -> PREROUTING -> TULLE_INBOUND -> proxy's inbound port (on the address of the interface)

What is not captured, on purpose:
- UDP, ICMP and all else but TCP: there is no connection that a proxy could answer for. DNS works as ever.
- Loopback (`-o lo`): traffic between the containers of a pod, and what the pod sends to its own address, which
  the kernel also routes over lo. Linkerd does the same. A call to the pod's own *Service* is captured, as any
  other; if the proxy then picks this very pod, its connection goes straight to the app.
- Host-network pods: their namespace is the node's. The webhook never injects them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tulle_init_container.config import Config, PortRange
from tulle_init_container.family import Family

# xt_multiport holds 15 ports a rule, and a range counts for two (linux/netfilter/xt_multiport.h)
MULTIPORT_SLOTS = 15


@dataclass(frozen=True)
class Rule:
    """One rule: `match` and `target` in iptables' words, `why` in a person's."""

    name: str
    match: str
    target: str
    why: str


@dataclass(frozen=True)
class Chain:
    """A chain of our own, entered by every connection that passes the built-in chain `hook`."""

    name: str
    hook: str
    why: str
    rules: tuple[Rule, ...]


def chains(config: Config, family: Family) -> tuple[Chain, ...]:
    """Decide the rules of one address family, in the order in which the kernel reads them."""
    return (
        Chain("TULLE_OUTPUT", "OUTPUT", "connections that the containers of this pod open", tuple(
            _outbound(config, family))),
        Chain("TULLE_INBOUND", "PREROUTING", "connections that arrive at this pod from the network", tuple(
            _inbound(config))),
    )


def _outbound(config: Config, family: Family) -> Iterator[Rule]:
    yield Rule("proxy", f"-m owner --uid-owner {config.proxy_uid}", "RETURN",
               f"what the proxy itself (uid {config.proxy_uid}) sends goes out as it is; captured, it would come back"
               " to the proxy for ever")
    yield Rule("loopback", "-o lo", "RETURN",
               "loopback, and the pod's own address, which is routed over loopback too, never leave the pod")
    for subnet in config.skip_outbound_subnets:
        if subnet.version == family.version:
            yield Rule("skip-subnet", f"-d {subnet}", "RETURN",
                       f"destinations in {subnet} are skipped, as --skip-outbound-subnets says")
    for ports in multiport(config.skip_outbound_ports):
        yield Rule("skip-ports", _to_ports(ports), "RETURN",
                   f"destination ports {_listed(ports)} are skipped, as --skip-outbound-ports says")
    yield Rule("redirect", "-p tcp", f"REDIRECT --to-ports {config.outbound_port}",
               f"all other TCP goes to the proxy's outbound port {config.outbound_port}")


def _inbound(config: Config) -> Iterator[Rule]:
    for ports in multiport(config.skip_inbound_ports):
        yield Rule("skip-ports", _to_ports(ports), "RETURN",
                   f"ports {_listed(ports)} are reached directly, as --skip-inbound-ports says")
    yield Rule("redirect", "-p tcp", f"REDIRECT --to-ports {config.inbound_port}",
               f"all other TCP goes to the proxy's inbound port {config.inbound_port}")


def multiport(ports: Sequence[PortRange]) -> Iterator[tuple[PortRange, ...]]:
    """Cut a list of ports into pieces that fit into one multiport match each; nothing for an empty list."""
    piece: list[PortRange] = []
    used = 0
    for item in ports:
        slots = 1 if item.first == item.last else 2
        if used + slots > MULTIPORT_SLOTS:
            yield tuple(piece)
            piece, used = [], 0
        piece.append(item)
        used += slots
    if piece:
        yield tuple(piece)


def _to_ports(ports: Sequence[PortRange]) -> str:
    return "-p tcp -m multiport --dports " + ",".join(str(item).replace("-", ":") for item in ports)


def _listed(ports: Sequence[PortRange]) -> str:
    return ", ".join(map(str, ports))
