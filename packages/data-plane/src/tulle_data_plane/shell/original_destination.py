"""Where a redirected connection was really going: what the kernel's NAT remembers of it.

Owns two getsockopt calls and the loop guard. The constants are the kernel's (linux/netfilter_ipv4.h,
linux/netfilter_ipv6/ip6_tables.h); Python does not name them.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection

from tulle_plugin_api import Address

from tulle_data_plane.shell.channel import unmapped

SO_ORIGINAL_DST = 80  # also IP6T_SO_ORIGINAL_DST


def original_destination(sock: socket.socket) -> Address:
    """Where the client meant to connect to. For a connection that was not redirected: our own address.

    Raises OSError when the kernel knows nothing of the connection (it is closed already).
    """
    try:
        if sock.family == socket.AF_INET6:
            # struct sockaddr_in6: family, port, flowinfo, address, scope
            raw = sock.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
            port, ip = struct.unpack_from("!2xH4x16s", raw)
            return Address(unmapped(socket.inet_ntop(socket.AF_INET6, ip)), port)
        # struct sockaddr_in: family, port, address
        raw = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        port, ip = struct.unpack_from("!2xH4s", raw)
        return Address(socket.inet_ntoa(ip), port)
    except FileNotFoundError:  # ENOENT: no NAT entry
        pass
    except OSError as error:
        if error.errno != 92:  # ENOPROTOOPT: no connection tracking in this namespace
            raise
    name = sock.getsockname()
    return Address(unmapped(name[0]), name[1])


def is_loop(destination: Address, our_ip: str, own_ips: Collection[str]) -> bool:
    """Would serving this connection mean to call ourselves? `destination` has a port that we listen on; `our_ip`: the
    accepted socket's own.
    """
    ip = destination.ip
    return ip == unmapped(our_ip) or ip in own_ips or ip == "::1" or ip.startswith("127.")
