"""Opens a TCP connection by hand, packet by packet, from the far end of a wire: SYN, SYN-ACK, ACK.

The kernel cannot be asked to do this, since to it both ends are the same machine. Just enough TCP (RFC 9293)
for a handshake that nothing reorders; the first packets may be lost, because a new device takes its time.
"""

import ipaddress
import os
import selectors
import socket
import struct
import time

from tulle_init_container.family import IPV4, Family
from tulle_init_container.wire import Wire

Ports = tuple[int, int]  # from, to
RESEND_SECONDS = 0.02
SYN, RST, ACK = 0x02, 0x04, 0x10
SEQUENCE = 0x7E570000
ETHERTYPE = {4: 0x0800, 6: 0x86DD}


def knock(wire: Wire, family: Family, port: int, seconds: float) -> str:
    """Dial `port` of the wire's near end; return "connected", "refused", or "silence" after `seconds`.

    Raises OSError without CAP_NET_RAW.
    """
    source = 0x8000 | int.from_bytes(os.urandom(2), "big")  # another each time: the kernel remembers connections
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as frames, selectors.DefaultSelector() as selector:
        frames.bind((wire.device, ETHERTYPE[family.version]))
        selector.register(frames, selectors.EVENT_READ)
        near = (wire.device, ETHERTYPE[family.version], 0, 0, wire.near_hardware)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            frames.sendto(segment(wire, family, (source, port), SEQUENCE, 0, SYN), near)
            if not selector.select(RESEND_SECONDS):
                continue
            flags, sequence = answer(frames.recv(65536), family, (source, port))
            if flags & RST:
                return "refused"
            if flags & SYN and flags & ACK:
                acknowledged = sequence + 1 & 0xFFFFFFFF
                frames.sendto(segment(wire, family, (source, port), SEQUENCE + 1, acknowledged, ACK), near)
                return "connected"
        return "silence"


def segment(wire: Wire, family: Family, ports: Ports, sequence: int, acknowledged: int, flags: int) -> bytes:
    """Build a TCP segment without data, in its IP packet, from the far end to the near one."""
    far, near = ipaddress.ip_address(wire.far).packed, ipaddress.ip_address(wire.near).packed
    tcp = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 0xFFFF, 0, 0)
    pseudo_header = far + near + struct.pack("!II", len(tcp), socket.IPPROTO_TCP)  # the same sum in both families
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo_header + tcp)) + tcp[18:]
    if family is IPV4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0) + far + near
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    else:
        ip = struct.pack("!IHBB", 6 << 28, len(tcp), socket.IPPROTO_TCP, 64) + far + near
    return ip + tcp


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer(packet: bytes, family: Family, ports: Ports) -> tuple[int, int]:
    """Read flags and sequence number of an answer to our knock; (0, 0) for any other packet."""
    if family is IPV4:
        header, protocol = (packet[0] & 0x0F) * 4, packet[9]
    else:
        header, protocol = 40, packet[6]
    if protocol != socket.IPPROTO_TCP or len(packet) < header + 20:
        return 0, 0
    source, destination, sequence, _, _, flags = struct.unpack_from("!HHIIBB", packet, header)
    return (flags, sequence) if (destination, source) == ports else (0, 0)
