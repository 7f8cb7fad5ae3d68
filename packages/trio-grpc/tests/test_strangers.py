"""Bytes from a hostile or broken server: whatever they are, a session ends with SessionError and nothing else."""

from contextlib import suppress

import pytest
from hyperframe.frame import ContinuationFrame, HeadersFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_trio_grpc.response import Response
from tulle_trio_grpc.session import Session, SessionError
from tulle_trio_grpc.streams import Streams

FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C"), (b":authority", b"x")]
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
stream_ids = st.sampled_from([0, 1, 1, 1, 2, 3, 5, 99, 2**31 - 1])
numbers = st.one_of(st.integers(0, 10), st.integers(0, 2**32 - 1))
good_blocks = st.sampled_from([b"\x88", b"\x88\x5f\x10application/grpc", b"\x40\x0bgrpc-status\x010"])
blocks = st.one_of(good_blocks, st.binary())


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


frames = st.one_of(
    st.builds(frame, st.integers(0, 11), st.integers(0, 255), stream_ids, st.binary(max_size=40)),
    st.builds(frame, st.sampled_from([HEADERS, PUSH_PROMISE, CONTINUATION]), st.integers(0, 255), stream_ids, blocks),
    st.builds(frame, st.just(HEADERS), st.sampled_from([4, 5]), stream_ids, blocks),
    st.builds(frame, st.just(DATA), st.sampled_from([0, 1]), stream_ids, st.binary()),
    st.builds(
        lambda kind, stream_id, number: frame(kind, 0, stream_id, number.to_bytes(4, "big")),
        st.sampled_from([RST_STREAM, WINDOW_UPDATE]), stream_ids, numbers,
    ),
    st.builds(
        lambda name, value: frame(SETTINGS, 0, 0, (name % 9).to_bytes(2, "big") + value.to_bytes(4, "big")),
        numbers, numbers,
    ),
)  # fmt: skip


def receive_all(wire: bytes, size: int) -> None:
    session = Session()
    streams = Streams(session, lambda: None, lambda: None)
    for _ in range(2):
        streams.add(session.open(FIELDS), 1000)
    with suppress(SessionError):
        for start in range(0, len(wire), size):
            for event in session.receive(wire[start : start + size]):
                streams.handle(event)  # type: ignore[arg-type]
            session.output()


@settings(max_examples=500)
@given(st.lists(frames), st.integers(1, 500))
def test_frames_of_every_kind_in_any_order(wire: list[bytes], size: int) -> None:
    receive_all(SettingsFrame(0).serialize() + b"".join(wire), size)


@given(st.binary(), st.integers(1, 50))
def test_any_bytes(wire: bytes, size: int) -> None:
    receive_all(wire, size)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))), st.booleans(), st.binary())
def test_any_headers_and_data_mean_something(fields: list[tuple[bytes, bytes]], end: bool, data: bytes) -> None:
    response = Response(1000)
    response.headers([(b":status", b"200"), (b"content-type", b"application/grpc"), *fields], end=end)
    response.data(data)
    response.trailers(fields)
    assert response.ended


def test_header_blocks_without_end_are_cut_off_not_collected() -> None:
    """The CONTINUATION flood."""
    session = Session()
    session.open(FIELDS)
    session.receive(SettingsFrame(0).serialize() + HeadersFrame(1, b"\x88").serialize())
    flood = ContinuationFrame(1, bytes(16_000)).serialize()
    for _ in range(63):
        session.receive(flood)
    with pytest.raises(SessionError, match="continuation"):
        session.receive(flood)
