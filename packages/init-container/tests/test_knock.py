"""The hand-made handshake's packets, as bytes."""

import pytest
from tulle_init_container.family import FAMILIES, IPV4, IPV6
from tulle_init_container.knock import ACK, RST, SYN, answer, checksum, segment
from tulle_init_container.wire import ADDRESSES, Wire


def test_the_checksum_of_rfc_1071():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2  # the example in its section 3


def make(family, flags):
    near, far, _ = ADDRESSES[family.version]
    return segment(Wire("far", b"\0" * 6, near, far), family, (40000, 9), 1, 2, flags)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_only_answers_to_the_knock_are_read(family):
    packet = make(family, SYN | ACK)  # its ports the other way round are an answer's
    assert answer(packet, family, (9, 40000)) == (SYN | ACK, 1)
    assert answer(make(family, RST), family, (9, 40000))[0] & RST
    for ports in ((40000, 9), (9, 40001), (8, 40000)):
        assert answer(packet, family, ports) == (0, 0)
    assert answer(packet[:-1], family, (9, 40000)) == (0, 0)  # cut off
    protocol = 9 if family is IPV4 else 6
    assert answer(packet[:protocol] + b"\x11" + packet[protocol + 1:], family, (9, 40000)) == (0, 0)  # UDP


def test_packets_carry_the_right_sums():
    packet = make(IPV4, SYN)
    assert checksum(packet[:20]) == 0
    assert checksum(packet[12:20] + b"\0\0\0\x14\0\0\0\x06" + packet[20:]) == 0
    packet = make(IPV6, SYN)
    assert checksum(packet[8:40] + b"\0\0\0\x14\0\0\0\x06" + packet[40:]) == 0
