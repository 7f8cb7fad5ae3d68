"""Asks the kernel where the client of a redirected connection was going."""

import socket
import struct

from tulle_init_container.family import IPV4, Family

SO_ORIGINAL_DST = 80  # and IP6T_SO_ORIGINAL_DST, which is the same number


def original_destination(connection: socket.socket, family: Family) -> tuple[str, int]:
    """Return the address and port that the client dialled, before REDIRECT changed them.

    Raises OSError (ENOENT) for a connection that netfilter does not know.
    """
    raw = connection.getsockopt(family.original_level, SO_ORIGINAL_DST, family.sockaddr_size)
    if family is IPV4:
        port, address = struct.unpack_from("!H4s", raw, 2)  # struct sockaddr_in
    else:
        port, address = struct.unpack_from("!H4x16s", raw, 2)  # struct sockaddr_in6, flowinfo skipped
    return socket.inet_ntop(family.address_family, address), port
