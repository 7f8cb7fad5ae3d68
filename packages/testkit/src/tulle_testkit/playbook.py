"""Transcripts: what arrives at a state machine, what must leave it, and a diff where it does not.

    with Playbook(codec.receive) as play:
        play >> b"PING"
        play << Pong() << Closed()
        play >> b"more"
        play << Nothing

`receive` is called with each arrival and returns what leaves (an iterable, or None). A playbook that expects nothing
fails: a test that forgets to assert is no test. Say `Nothing` where nothing may leave.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

Nothing: Final = object()
"""`play << Nothing`: nothing may leave here."""


class Playbook:
    """A script of arrivals (`>>`) and departures (`<<`), played when the `with` block ends."""

    def __init__(self, receive: Callable[[Any], Iterable[Any] | None]) -> None:
        self._receive = receive
        self._script: list[tuple[str, Any]] = []

    def __rshift__(self, arrival: Any) -> Playbook:
        self._script.append((">>", arrival))
        return self

    def __lshift__(self, departure: Any) -> Playbook:
        self._script.append(("<<", departure))
        return self

    def __enter__(self) -> Playbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.play()

    def play(self) -> None:
        """Run the script. Raises AssertionError with a diff of the two transcripts where they differ."""
        if not any(direction == "<<" for direction, _ in self._script):
            raise AssertionError("this playbook expects nothing to leave; add `play << ...`, or `play << Nothing`")
        expected = [(way, what) for way, what in self._script if what is not Nothing]
        actual: list[tuple[str, Any]] = []
        for arrival in [what for way, what in self._script if way == ">>"]:
            actual.append((">>", arrival))
            try:
                actual += [("<<", departure) for departure in self._receive(arrival) or ()]
            except Exception as error:
                error.add_note(f"until then:\n{_text(actual)}")
                raise
        if actual != expected:
            lines = difflib.ndiff(_text(expected).splitlines(), _text(actual).splitlines())
            raise AssertionError("the transcript differs (-: expected, +: happened)\n" + "\n".join(lines))


def _text(transcript: list[tuple[str, Any]]) -> str:
    return "\n".join(f"{way} {what!r}" for way, what in transcript)
