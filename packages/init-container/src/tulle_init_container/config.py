"""What to redirect: a frozen, validated value. Knows nothing of iptables, sockets or the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, NamedTuple

from tulle_init_container.errors import ConfigError

Mode = Literal["auto", "nft", "legacy"]
MODES: tuple[Mode, ...] = ("auto", "nft", "legacy")
Subnet = IPv4Network | IPv6Network


class PortRange(NamedTuple):
    """TCP ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        """As people write it: `4191` or `4190-4191`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last


@dataclass(frozen=True)
class Config:
    """Which ports the proxy listens on, who it is, and what it is not to see.

    Raises ConfigError when two values contradict each other.
    """

    outbound_port: int = 4140
    inbound_port: int = 4143
    proxy_uid: int = 4140
    skip_inbound_ports: tuple[PortRange, ...] = ()
    skip_outbound_ports: tuple[PortRange, ...] = ()
    skip_outbound_subnets: tuple[Subnet, ...] = ()

    def __post_init__(self) -> None:
        if self.outbound_port == self.inbound_port:
            raise ConfigError(f"--outbound-port and --inbound-port are both {self.inbound_port}: the proxy tells"
                              " the two directions apart by port, so that they must differ (4140 and 4143)")
        if self.proxy_uid == 0:
            raise ConfigError("--proxy-uid is 0: everything that runs as root would bypass the mesh, this program's"
                              " own check included; give the proxy a uid of its own (4140)")


def parse_port(text: str, name: str) -> int:
    """Parse one TCP port, 1 to 65535. `name` is the flag or variable, for the message of the ConfigError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise ConfigError(f"{name}: {text!r} is not a TCP port; give a number from 1 to 65535")
    return int(text)


def parse_uid(text: str, name: str) -> int:
    """Parse a numeric user id, 0 to 2^32 - 2 (the last is the kernel's 'nobody at all')."""
    if not (text.isascii() and text.isdigit() and int(text) < 2**32 - 1):
        raise ConfigError(f"{name}: {text!r} is not a user id; give a number such as 4140")
    return int(text)


def parse_ports(text: str, name: str) -> tuple[PortRange, ...]:
    """Parse a comma list of ports and ranges, `22,4190-4191`; the empty text is the empty list.

    Sorted, and merged where they overlap or touch, so that equal lists give equal rules.
    """
    ranges = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        low, dash, high = item.partition("-")
        try:
            first = parse_port(low.strip(), name)
            last = parse_port(high.strip(), name) if dash else first
        except ConfigError:
            raise ConfigError(f"{name}: {item!r} is not a port or a range of ports; give numbers from 1 to 65535"
                              " with commas between, such as 22,4190-4191") from None
        if last < first:
            raise ConfigError(f"{name}: the range {item!r} ends before it begins; write {last}-{first}")
        ranges.append(PortRange(first, last))
    return _merge(ranges)


def _merge(ranges: Sequence[PortRange]) -> tuple[PortRange, ...]:
    merged: list[PortRange] = []
    for item in sorted(ranges):
        if merged and item.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, item.last))
        else:
            merged.append(item)
    return tuple(merged)


def parse_subnets(text: str, name: str) -> tuple[Subnet, ...]:
    """Parse a comma list of IPv4 and IPv6 networks or addresses; the empty text is the empty list.

    Order is kept and repetitions are dropped. A network with host bits set is refused, since it is as likely
    to be a slip of the prefix as of the address.
    """
    networks: list[Subnet] = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            network = ip_network(item)
        except ValueError as error:
            raise ConfigError(f"{name}: {item!r} is not a subnet ({error}); write it as 10.0.0.0/8 or fd00::/8, with"
                              " commas between") from None
        if network not in networks:
            networks.append(network)
    return tuple(networks)


def parse_mode(text: str, name: str) -> Mode:
    """Parse the choice of iptables back end."""
    for mode in MODES:
        if text == mode:
            return mode
    raise ConfigError(f"{name}: {text!r} is not a mode; choose auto, nft or legacy")
