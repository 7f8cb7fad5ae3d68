"""The frame gate: GOAWAY taken out, the rest unchanged, strangers recognised; whole, byte by byte, with more after."""

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame
from tulle_trio_grpc.gate import FrameGate, GoAway, NotHttp2

SETTINGS = SettingsFrame(0, settings={3: 100}).serialize()
PING = PingFrame(0, b"12345678").serialize()
GOAWAY = GoAwayFrame(0, 7, 11, b"too_many_pings").serialize()
OPEN_HEADERS = HeadersFrame(1, b"x").serialize()  # END_HEADERS not set
DATA = DataFrame(1, bytes(range(256)) * 10).serialize()


def through(wire: bytes, size: int) -> list[bytes | GoAway]:
    """What comes out, neighbouring bytes joined."""
    gate, out = FrameGate(), []
    for start in range(0, len(wire), size):
        for part in gate.feed(wire[start : start + size]):
            if isinstance(part, bytes) and out and isinstance(out[-1], bytes):
                out[-1] += part
            else:
                out.append(part)
    return out


@pytest.mark.parametrize("size", [1, 2, 7, 9, 10, 100, 10_000])
def test_goaway_is_taken_out_in_its_place(size: int) -> None:
    goaway = GoAway(7, 11, b"too_many_pings")
    assert through(SETTINGS + DATA + GOAWAY + PING + GOAWAY + DATA, size) == [
        SETTINGS + DATA, goaway, PING, goaway, DATA,
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_goaway_without_debug_data_and_the_reserved_bit(size: int) -> None:
    frame = GoAwayFrame(0, 2**31 - 1).serialize()
    frame = frame[:9] + b"\xff" + frame[10:]  # RFC 9113 section 6.8: the first bit is reserved, ignored
    assert through(SETTINGS + frame, size) == [SETTINGS, GoAway(2**31 - 1, 0, b"")]


def test_bodies_are_not_held_back() -> None:
    gate = FrameGate()
    assert list(gate.feed(SETTINGS + DATA[:20])) == [SETTINGS + DATA[:20]]
    assert list(gate.feed(DATA[20:21])) == [DATA[20:21]]


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered in HTTP/1"),
        (b"\x15\x03\x03\x00\x02\x02\x28\x00\x00", "answered in TLS: pass an ssl_context"),
        (b"220 mail.example ESMTP\r\n", "does not speak gRPC"),
        (PING, "does not speak gRPC"),  # RFC 9113 section 3.4: SETTINGS first
        (SETTINGS + b"\x00\x40\x01" + DATA[3:9], "16385 bytes, more than the 16384"),
        (SETTINGS + OPEN_HEADERS + GOAWAY, "misplaced GOAWAY"),
        (SETTINGS + b"\x00\x00\x07" + GOAWAY[3:], "malformed"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_not_http2_is_refused_by_name(wire: bytes, why: str, size: int) -> None:
    with pytest.raises(NotHttp2, match=why):
        through(wire, size)
