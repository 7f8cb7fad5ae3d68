"""The two address families, and all that differs between them. Rules are the same for both."""

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One address family, with the constants for asking a redirected socket where its client was going.

    `original_level` and option 80 are SO_ORIGINAL_DST (linux/netfilter_ipv4.h) and IP6T_SO_ORIGINAL_DST
    (linux/netfilter_ipv6/ip6_tables.h); the answer is a sockaddr of `sockaddr_size` bytes.
    """

    name: str
    version: int
    program: str
    address_family: socket.AddressFamily
    loopback: str
    anywhere: str
    documentation: tuple[str, ...]
    original_level: int
    sockaddr_size: int


IPV4 = Family(
    name="IPv4",
    version=4,
    program="iptables",
    address_family=socket.AF_INET,
    loopback="127.0.0.1",
    anywhere="0.0.0.0",
    documentation=("192.0.2.1", "198.51.100.1", "203.0.113.1"),  # RFC 5737: never a real host
    original_level=0,  # SOL_IP
    sockaddr_size=16,
)
IPV6 = Family(
    name="IPv6",
    version=6,
    program="ip6tables",
    address_family=socket.AF_INET6,
    loopback="::1",
    anywhere="::",
    documentation=("2001:db8::1", "3fff::1"),  # RFC 3849, RFC 9637
    original_level=41,  # SOL_IPV6
    sockaddr_size=28,
)
FAMILIES = (IPV4, IPV6)
