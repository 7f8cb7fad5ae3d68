"""A wire with both ends in this network namespace, for as long as a trial takes: something for packets to arrive on.

A connection that a pod opens to itself goes over loopback and never passes PREROUTING, so that a trial of the
inbound rules needs packets that come in from an interface. A veth pair gives that: what is written to the far
end as raw frames arrives at the near end as from the network. Made and removed by netlink (rtnetlink(7)), so
that the image needs no `ip`; CAP_NET_ADMIN is enough.
"""

import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tulle_init_container.family import IPV4, Family

# linux/rtnetlink.h, linux/netlink.h, linux/if_link.h, linux/if_addr.h, linux/neighbour.h
RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWNEIGH = 16, 17, 20, 28
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
NLMSG_ERROR = 2
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 3, 18, 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_F_NODAD = 1, 2, 0x02
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
IFF_UP = 1
SIOCGIFHWADDR = 0x8927

NEAR, FAR = "tulle-trial-in", "tulle-trial-out"
# documentation networks again, but not those that the outbound trial dials
ADDRESSES = {4: ("198.51.100.253", "198.51.100.254", 30), 6: ("2001:db8:7e57::1", "2001:db8:7e57::2", 126)}


@dataclass(frozen=True)
class Wire:
    """What a sender at the far end must know: its device, and the addresses of both ends."""

    device: str
    near_hardware: bytes
    near: str
    far: str


@contextmanager
def wire(family: Family) -> Iterator[Wire]:
    """Make the wire, and remove it again on every way out. Raises OSError where the kernel will not."""
    near, far, prefix = ADDRESSES[family.version]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        with suppress(OSError):  # one that a killed trial left
            _remove(netlink)
        _request(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _link(NEAR) + _attribute(
            IFLA_LINKINFO, _attribute(IFLA_INFO_KIND, b"veth") + _attribute(
                IFLA_INFO_DATA, _attribute(VETH_INFO_PEER, _link(FAR)))))
        try:
            for end in (FAR, NEAR):  # up only now: an end without its peer refuses
                _request(netlink, RTM_NEWLINK, 0, _link(end, IFF_UP))
            index = socket.if_nametoindex(NEAR)
            flags = 0 if family is IPV4 else IFA_F_NODAD
            _request(netlink, RTM_NEWADDR, NLM_F_CREATE,
                     struct.pack("=BBBBI", family.address_family, prefix, flags, 0, index)
                     + _attribute(IFA_LOCAL, _packed(near)) + _attribute(IFA_ADDRESS, _packed(near)))
            # answers to the far end need no ARP or neighbour discovery, which nobody there would answer
            _request(netlink, RTM_NEWNEIGH, NLM_F_CREATE,
                     struct.pack("=BxxxIHBB", family.address_family, index, NUD_PERMANENT, 0, 0)
                     + _attribute(NDA_DST, _packed(far)) + _attribute(NDA_LLADDR, _hardware_address(FAR)))
            yield Wire(FAR, _hardware_address(NEAR), near, far)
        finally:
            _remove(netlink)


def _remove(netlink: socket.socket) -> None:
    _request(netlink, RTM_DELLINK, 0, _link(NEAR))


def _link(name: str, flags: int = 0) -> bytes:
    """A struct ifinfomsg with the flags to set, and the name that says which link is meant."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, flags, flags) + _attribute(IFLA_IFNAME, name.encode() + b"\0")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _request(netlink: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Send one request and wait for the kernel's word on it. Raises OSError with the kernel's errno."""
    header = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0)
    netlink.sendall(header + body)
    answer = netlink.recv(65536)
    (answered,) = struct.unpack_from("=H", answer, 4)
    (code,) = struct.unpack_from("=i", answer, 16)
    if answered != NLMSG_ERROR:
        raise OSError(errno.EPROTO, "the kernel's netlink answer is not an acknowledgement")
    if code:
        raise OSError(-code, f"a temporary veth pair could not be set up: {errno.errorcode.get(-code, -code)}")


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _hardware_address(device: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        answer = fcntl.ioctl(asker, SIOCGIFHWADDR, struct.pack("256s", device.encode()))
    return bytes(answer[18:24])
