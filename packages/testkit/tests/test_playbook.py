"""Playbooks fail when they should, and say where."""

import pytest
from tulle_testkit import FakeClock, Nothing, Playbook


def upper(arrival):
    """A state machine of one state: says it louder, and hangs up at "bye"."""
    if arrival == "quiet":
        return None
    return [arrival.upper(), "CLOSED"] if arrival == "bye" else [arrival.upper()]


def test_as_written():
    with Playbook(upper) as play:
        play >> "hello" << "HELLO"
        play >> "quiet" << Nothing
        play >> "bye" << "BYE" << "CLOSED"


def test_what_differs_is_shown_in_its_place():
    play = Playbook(upper) >> "hello" << "HELLO" >> "bye" << "BYE"
    with pytest.raises(AssertionError) as raised:
        play.play()
    assert str(raised.value).splitlines() == [
        "the transcript differs (-: expected, +: happened)",
        "  >> 'hello'",
        "  << 'HELLO'",
        "  >> 'bye'",
        "  << 'BYE'",
        "+ << 'CLOSED'",
    ]


@pytest.mark.parametrize(
    "play",
    [
        Playbook(upper) >> "hello" << "HELLO" << "MORE",  # too little left
        Playbook(upper) >> "hello" << Nothing,  # something left
        Playbook(upper) << "HELLO" >> "hello",  # too early
        Playbook(upper) >> "bye" << "CLOSED" << "BYE",  # in another order
    ],
)
def test_a_transcript_that_differs_fails(play):
    with pytest.raises(AssertionError, match="the transcript differs"):
        play.play()


@pytest.mark.parametrize("play", [Playbook(upper), Playbook(upper) >> "hello"])
def test_one_that_expects_nothing_fails(play):
    with pytest.raises(AssertionError, match="expects nothing to leave"):
        play.play()


def test_an_error_shows_what_came_before():
    play = Playbook(upper) >> "hello" << "HELLO" >> 3
    with pytest.raises(AttributeError) as raised:
        play.play()
    assert raised.value.__notes__ == ["until then:\n>> 'hello'\n<< 'HELLO'\n>> 3"]


def test_an_error_in_the_block_is_not_hidden():
    with pytest.raises(KeyError), Playbook(upper):
        raise KeyError


def test_the_clock_passes_when_told():
    clock = FakeClock()
    before = clock()
    assert clock() == before > 0
    assert clock.advance(1.5) == clock() == before + 1.5
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1)
