"""Length-prefixed messages, compression, and the credit that back-pressure rests on."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_trio_grpc import BadResponse, MessageTooLarge, StatusCode
from tulle_trio_grpc.compression import compress, decompress
from tulle_trio_grpc.framing import MessageReader, encode_message


def take_all(reader: MessageReader) -> list[bytes]:
    return list(iter(reader.take, None))


def test_a_message_on_the_wire() -> None:
    assert encode_message(b"hello") == b"\x00\x00\x00\x00\x05hello"
    assert encode_message(b"") == b"\x00\x00\x00\x00\x00"


def test_sending_limit() -> None:
    assert encode_message(bytes(10), limit=10)
    with pytest.raises(MessageTooLarge, match="11 bytes, more than the 10"):
        encode_message(bytes(11), limit=10)


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 30)))
def test_messages_come_out_whole_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(encode_message(message, gzip=len(message) % 2 == 1) for message in messages)
    reader, got = MessageReader(limit=100), []
    reader.encoding = "gzip"
    while wire:
        size = cuts.pop() if cuts else len(wire)
        reader.feed(wire[:size])
        wire = wire[size:]
        got += take_all(reader)
    assert got == messages
    assert not reader.incomplete


def test_a_cut_message_is_incomplete() -> None:
    reader = MessageReader(limit=100)
    reader.feed(encode_message(b"one") + b"\x00\x00")
    assert take_all(reader) == [b"one"]
    assert reader.incomplete


def test_too_large_is_known_from_the_prefix_alone() -> None:
    reader = MessageReader(limit=10)
    reader.feed(encode_message(bytes(10)))
    with pytest.raises(MessageTooLarge, match=r"11 bytes, more than the 10 .*max_receive_message"):
        reader.feed(b"\x00\x00\x00\x00\x0b")


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(BadResponse, match="flag 2"):
        MessageReader(limit=10).feed(b"\x02\x00\x00\x00\x00")


# --- credit


def test_a_message_that_nobody_takes_gives_no_credit() -> None:
    reader = MessageReader(limit=100)
    reader.feed(encode_message(bytes(20)))
    assert reader.credit() == 0
    reader.feed(encode_message(bytes(30))[:12])  # and what follows it neither
    assert reader.credit() == 0
    assert reader.take() is not None
    assert reader.credit() == 25 + 12  # now the second may go on
    reader.feed(encode_message(bytes(30))[12:])
    assert reader.credit() == 0


def test_the_beginning_of_a_message_gives_credit_or_it_would_never_end() -> None:
    reader = MessageReader(limit=1_000_000)
    wire = encode_message(bytes(500_000))
    reader.feed(wire[:65_535])
    assert reader.credit() == 65_535
    assert reader.credit() == 0


@given(st.lists(st.binary(max_size=30), min_size=1), st.integers(1, 20))
def test_every_byte_is_credited_exactly_once_and_memory_is_bounded(messages: list[bytes], cut: int) -> None:
    wire = b"".join(map(encode_message, messages))
    reader, window, credited, left = MessageReader(limit=30), 20, 0, len(wire)
    outstanding = 0
    while left or outstanding:
        size = min(cut, left, window - outstanding)
        if size:
            reader.feed(wire[len(wire) - left : len(wire) - left + size])
            left, outstanding = left - size, outstanding + size
        else:
            assert reader.take() is not None, "window full and nothing to take: stuck"
        given_back = reader.credit()
        credited, outstanding = credited + given_back, outstanding - given_back
        assert 0 <= outstanding <= window
    assert credited == len(wire)


# --- compression


def test_gzip_both_ways() -> None:
    assert gzip.decompress(compress(b"hello" * 100)) == b"hello" * 100
    assert decompress(gzip.compress(b"hello"), "gzip", limit=5) == b"hello"


def test_a_bomb_is_stopped_at_the_limit() -> None:
    with pytest.raises(MessageTooLarge, match="more than 1000 bytes when decompressed"):
        decompress(compress(bytes(10_000_000)), "gzip", limit=1000)


@pytest.mark.parametrize(
    ("data", "encoding", "why"),
    [
        (compress(b"x"), None, "named no grpc-encoding"),
        (compress(b"x"), "identity", "named no grpc-encoding"),
        (compress(b"x"), "snappy", "identity,deflate,gzip"),
        (b"not gzip", "gzip", "not gzip"),
        (compress(b"hello")[:-3], "gzip", "cut short"),
        (compress(b"hello") + b"more", "gzip", "too long"),
        (b"", "gzip", "cut short"),
    ],
)
def test_compressed_messages_that_cannot_be_read(data: bytes, encoding: str | None, why: str) -> None:
    with pytest.raises(BadResponse, match=why) as caught:
        decompress(data, encoding, limit=100)
    assert caught.value.code is StatusCode.INTERNAL
