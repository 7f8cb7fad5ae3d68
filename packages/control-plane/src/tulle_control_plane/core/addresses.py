"""Addresses and destinations as text, each in exactly one form.

Owns parsing of "ip:port". Refuses to know who has which address. An IPv6 address is written many ways and dialled
through IPv4-mapped sockets too (RFC 4291, 2.5.5.2); look-ups need one.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from tulle_plugin_api.config import ConfigError


class Dialled(NamedTuple):
    """An address that an application dialled, in canonical form."""

    ip: str
    port: int


@lru_cache(maxsize=65536)
def normal_ip(text: str) -> str:
    """The canonical text of an IP address. Raises ValueError for what is none (scoped addresses included)."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError(f"{text!r} has a scope; it means nothing on another machine")
        address = address.ipv4_mapped or address
    return str(address)


def canonical_ip(text: str, path: str) -> str:
    """As `normal_ip`. Raises ConfigError naming the field."""
    try:
        return normal_ip(text)
    except ValueError:
        raise ConfigError([f"{path}: {text[:80]!r} is no IP address; expected such as 10.0.0.7 or fd00::7"]) from None


def parse_destination(text: str) -> Dialled | None:
    """A destination such as "10.96.0.7:80" or "[fd00::7]:80"; None for what is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or not 1 <= int(port) <= 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            return None
    elif ":" in host:
        return None  # an IPv6 address without brackets is ambiguous (RFC 3986, 3.2.2)
    try:
        return Dialled(normal_ip(host), int(port))
    except ValueError:
        return None
