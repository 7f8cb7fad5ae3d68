"""The helper finds parsers that depend on how their input was cut."""

import pytest
from tulle_testkit import assert_chunking_invariant, chunkings


def line(pieces):
    """A correct parser: one line, and what was read past its end."""
    buffer = b""
    while b"\n" not in buffer:
        buffer += next(pieces)
    result, _, unused = buffer.partition(b"\n")
    return result, unused


def line_that_looks_at_each_piece_alone(pieces):
    buffer = b""
    for piece in pieces:
        buffer += piece
        if piece.endswith(b"\r\n"):  # misses a line end that was cut in two
            return buffer[:-2], b""
    return buffer, b""


def line_that_swallows_what_follows(pieces):
    result, _ = line(pieces)
    return result, b""


def line_that_invents(pieces):
    result, unused = line(pieces)
    return result, unused + b"x"


def test_a_correct_parser_passes_and_its_result_is_returned():
    assert assert_chunking_invariant(line, b"hello\n") == b"hello"


@pytest.mark.parametrize(
    ("parse", "complaint"),
    [
        (line_that_looks_at_each_piece_alone, r"byte by byte: .*; whole: b'hello'"),
        (line_that_swallows_what_follows, r"followed by b'\\x00': b'' left over, expected b'\\x00'"),
        (line_that_invents, "b'x' left over, expected b''"),
    ],
)
def test_a_wrong_parser_is_caught(parse, complaint):
    with pytest.raises(AssertionError, match=complaint):
        assert_chunking_invariant(parse, b"hello\r\n")


def test_what_a_parser_raises_says_how_the_input_was_cut():
    def parse(pieces):
        first = next(pieces)
        if len(first) == 1:
            raise ValueError("too short")
        return first + b"".join(pieces), b""

    with pytest.raises(ValueError, match="too short") as raised:
        assert_chunking_invariant(parse, b"abc", following=[b""])
    assert raised.value.__notes__ == ["input byte by byte: [b'a', b'b', b'c']"]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 50, 256, 257, 5000])
def test_pieces_always_add_up_and_are_never_empty(length):
    data = bytes(i % 251 for i in range(length))
    cuts = list(chunkings(data))
    assert all(b"".join(pieces) == data and all(pieces) for _, pieces in cuts)
    assert cuts[0] == ("whole", [data] if data else [])
    assert cuts[1][1] == [bytes([byte]) for byte in data]


def test_a_short_input_is_cut_at_every_place():
    names = {name for name, _ in chunkings(b"abcd")}
    assert {"cut at 1", "cut at 2", "cut at 3"} <= names


def test_the_same_cuts_every_time():
    assert list(chunkings(bytes(1000))) == list(chunkings(bytes(1000)))
    assert list(chunkings(bytes(1000))) != list(chunkings(bytes(1000), seed=1))
