"""What this network namespace looks like: addresses and routes. Reads, never changes, sends nothing."""

import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

from tulle_init_container.config import Config, Subnet
from tulle_init_container.family import IPV4, Family

CAP_NET_ADMIN = 12  # linux/capability.h
SIOCGIFADDR = 0x8915  # linux/sockios.h


def has_net_admin() -> bool:
    """Whether this process holds CAP_NET_ADMIN in its own user namespace."""
    with open("/proc/self/status") as status:
        effective = next(line for line in status if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_NET_ADMIN & 1)


def addresses(family: Family) -> list[str]:
    """List the pod's addresses that others can reach: not loopback, and in IPv6 not link-local."""
    found = _ipv4_addresses() if family is IPV4 else _ipv6_addresses()
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]


def _ipv4_addresses() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asker, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # an interface without an IPv4 address
                continue
            yield socket.inet_ntoa(answer[20:24])


def _ipv6_addresses() -> Iterator[str]:
    # columns: address, interface index, prefix length, scope, flags, name (all hex; net/ipv6/addrconf.c)
    for line in _lines("/proc/net/if_inet6"):  # absent where the kernel has no IPv6
        address = ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
        if not address.is_link_local:
            yield str(address)


def probe_destination(config: Config, family: Family) -> str | None:
    """Choose an address to dial in a trial: routed out of the pod, captured by the rules, and no real host.

    A documentation address where there is a route for it; in a pod without a default route, an address in a
    subnet that is routed. None if nothing that the pod can reach is captured.
    """
    for destination in (*family.documentation, *_routed(family)):
        if not _skipped(destination, config.skip_outbound_subnets) and _leaves_the_pod(destination, family):
            return destination
    return None


def probe_port(config: Config) -> int | None:
    """Choose a destination port that is captured: 9 (discard, RFC 863) if it is, or else the first that is."""
    skipped = config.skip_outbound_ports
    return next((port for port in (9, *range(1, 65536)) if not any(port in item for item in skipped)), None)


def _skipped(destination: str, subnets: tuple[Subnet, ...]) -> bool:
    return any(ipaddress.ip_address(destination) in subnet for subnet in subnets)


def _leaves_the_pod(destination: str, family: Family) -> bool:
    """Ask the kernel's routing: connecting a UDP socket looks up the route and sends nothing."""
    try:
        with socket.socket(family.address_family, socket.SOCK_DGRAM) as asker:
            asker.connect((destination, 9))
            source = asker.getsockname()[0]
    except OSError:
        return False
    return source != destination and not ipaddress.ip_address(source).is_loopback


def _routed(family: Family) -> Iterator[str]:
    """Yield addresses in the subnets that are routed to an interface other than lo."""
    for network in _ipv4_routes() if family is IPV4 else _ipv6_routes():
        if not (network.is_loopback or network.is_link_local or network.is_multicast):
            for offset in range(min(network.num_addresses, 4)):
                yield str(network[-1 - offset] if family.version == 6 else network[offset])


def _ipv4_routes() -> Iterator[Subnet]:
    # columns: Iface Destination Gateway Flags RefCnt Use Metric Mask ...; little-endian hex (net/ipv4/fib_trie.c)
    for line in _lines("/proc/net/route")[1:]:
        columns = line.split()
        address, mask = (socket.ntohl(int(columns[index], 16)) for index in (1, 7))
        if mask:
            yield ipaddress.ip_network((address, mask.bit_count()))


def _ipv6_routes() -> Iterator[Subnet]:
    # columns: destination, prefix length, ..., interface name; hex (net/ipv6/route.c)
    for line in _lines("/proc/net/ipv6_route"):
        columns = line.split()
        if columns[-1] != "lo" and int(columns[1], 16):
            yield ipaddress.ip_network((bytes.fromhex(columns[0]), int(columns[1], 16)))


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return file.read().splitlines()
