"""Patterns: regular expressions that no input can make slow.

Owns a dialect, its parser, and a matcher whose time is proportional to the text. Python's `re` tries ways one after the
other, and for "(a+)+$" there are exponentially many; who may write a route could then stop a proxy, and who may send a
request, too. Here all ways are followed at once: Thompson's construction (1968), the sets of places in the pattern kept
as a table that is filled while it is used (a lazy DFA, as RE2 has).

A pattern says what the whole text must be, as with Envoy: write ".*x.*" for "x somewhere". The dialect is what RE2 and
`re` have in common: literals, ".", "[a-z]", "[^...]", \\d \\w \\s and their opposites (ASCII), "|", groups, "*", "+",
"?", "{m,n}" (and their lazy forms, which match the same), "^" and "$" at the ends, "(?i)" at the beginning. What needs
memory of the text (back references, look-around, word boundaries) is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import Final, TypeAlias

MOST_STEPS: Final = 2_000
"""Of a pattern's program, counted repetitions written out. What is larger is refused."""

LONGEST_TEXT: Final = 8_192
"""Characters. A longer text matches nothing: time is bounded by the pattern's owner, not by who sends."""

_MOST_STATES: Final = 500
"""Of the table; then it is emptied, and fills again with what is asked for."""

_LAST: Final = 0x10FFFF
_ACCEPT: Final = -1
"""The place behind the program's last step."""

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points, first and last of each range."""

_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32))
_ANY: Ranges = ((0, 9), (11, _LAST))  # all but a line feed


class PatternError(ValueError):
    """Not a pattern of this dialect. Says where, and what would be right."""


# A program is a list of steps; a step is (ranges, next) or, without ranges, a fork (None, next, other next).
_Step: TypeAlias = tuple[Ranges | None, int, int]
_Node: TypeAlias = tuple[object, ...]
"""("set", ranges), ("cat", nodes), ("or", nodes), ("rep", node, least, most or -1)"""


class Pattern:
    """A compiled pattern. Its table grows while it is used, within bounds; what it answers never changes."""

    __slots__ = ("_bounds", "_classes", "_program", "_start", "_states", "text")

    def __init__(self, text: str) -> None:
        """Raises PatternError."""
        self.text = text
        program: list[_Step] = []
        start = _emit(_Parser(text).parse(), program, _ACCEPT)
        self._program = program
        edges = {0}
        for ranges, _, _ in program:
            for low, high in ranges or ():
                edges.update((low, high + 1))
        self._bounds = sorted(edges)
        self._classes = [bisect_right(self._bounds, code) - 1 for code in range(256)]
        self._states: dict[frozenset[int], _State] = {}
        self._start = self._state(self._closure([start]))

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` is such as the pattern says."""
        if len(text) > LONGEST_TEXT:
            return False
        state, classes = self._start, self._classes
        for char in text:
            code = ord(char)
            which = classes[code] if code < 256 else bisect_right(self._bounds, code) - 1
            after = state.after.get(which)
            if after is None:
                after = self._step(state, which)
            if not after.places:
                return False
            state = after
        return state.accepts

    def _step(self, state: _State, which: int) -> _State:
        code = self._bounds[which]
        reached = []
        for place in state.places:
            if place >= 0:
                ranges, follows, _ = self._program[place]
                if ranges is not None and any(low <= code <= high for low, high in ranges):
                    reached.append(follows)
        if len(self._states) >= _MOST_STATES:
            self._states.clear()
            self._start.after.clear()
            self._states[self._start.places] = self._start
        after = state.after[which] = self._state(self._closure(reached))
        return after

    def _state(self, places: frozenset[int]) -> _State:
        found = self._states.get(places)
        if found is None:
            found = self._states[places] = _State(places)
        return found

    def _closure(self, places: list[int]) -> frozenset[int]:
        """These places, and those that are reached from them without a character."""
        seen: set[int] = set()
        todo = list(places)
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            if place >= 0 and self._program[place][0] is None:
                todo += self._program[place][1:]
        return frozenset(place for place in seen if place < 0 or self._program[place][0] is not None)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


class _State:
    """A set of places in the program, and where characters lead from there, as far as they have been asked for."""

    __slots__ = ("accepts", "after", "places")

    def __init__(self, places: frozenset[int]) -> None:
        self.places = places
        self.accepts = _ACCEPT in places
        self.after: dict[int, _State] = {}


@lru_cache(maxsize=4096)
def pattern(text: str) -> Pattern:
    """The compiled pattern; the same object for the same text, so that a configuration's table is shared. Raises
    PatternError."""
    return Pattern(text)


def _emit(node: _Node, program: list[_Step], follows: int) -> int:
    """Append the steps of `node`, which lead to `follows`; returns where it begins. Written from the end backwards."""
    kind = node[0]
    if kind == "set":
        return _append(program, (node[1], follows, follows))  # type: ignore[arg-type]
    if kind == "cat":
        for part in reversed(node[1]):  # type: ignore[call-overload]
            follows = _emit(part, program, follows)
        return follows
    if kind == "or":
        ways = [_emit(part, program, follows) for part in node[1]]  # type: ignore[attr-defined]
        start = ways[-1]
        for way in reversed(ways[:-1]):
            start = _append(program, (None, way, start))
        return start
    _, part, least, most = node
    assert isinstance(part, tuple)
    assert isinstance(least, int)
    assert isinstance(most, int)
    if most < 0:
        loop = _append(program, (None, follows, follows))
        program[loop] = (None, _emit(part, program, loop), follows)
        start = loop
    else:
        start = follows
        for _ in range(most - least):
            start = _append(program, (None, _emit(part, program, start), follows))
    for _ in range(least):
        start = _emit(part, program, start)
    return start


def _append(program: list[_Step], step: _Step) -> int:
    if len(program) >= MOST_STEPS:
        raise PatternError(f"too large: counted repetitions written out have more than {MOST_STEPS} steps")
    program.append(step)
    return len(program) - 1


_SETS: dict[str, Ranges] = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_DEEPEST = 50


class _Parser:
    """Recursive descent over the pattern's text."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.any_case = False

    def parse(self) -> _Node:
        """The whole pattern."""
        if self.text.startswith("(?i)"):
            self.any_case, self.at = True, 4
        if self._peek() == "^":
            self.at += 1
        node = self._choice()
        if self.at < len(self.text):
            raise self._error('")" without "("')
        return node

    def _choice(self) -> _Node:
        ways = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else ("or", tuple(ways))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._peek() == "$" and self.at == len(self.text) - 1 and not self.depth:
                self.at += 1  # says what holds anyway
                break
            parts.append(self._repeated(self._one()))
        return ("cat", tuple(parts))

    def _repeated(self, node: _Node) -> _Node:
        char = self._peek()
        if char in ("*", "+", "?"):
            self.at += 1
            least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[char]
        elif char == "{":
            least, most = self._counts()
        else:
            return node
        if self._peek() == "?":
            self.at += 1  # lazy: the same texts match
        if self._peek() in ("*", "+", "?", "{"):
            raise self._error("two repetitions after one another; put the first into a group")
        return ("rep", node, least, most)

    def _counts(self) -> tuple[int, int]:
        end = self.text.find("}", self.at)
        first, comma, last = self.text[self.at + 1 : max(end, 0)].partition(",")
        good = end > 0 and _is_count(first) and (not last or _is_count(last))
        if not good or (last and int(last) < int(first)):
            raise self._error('expected a repetition such as {3}, {2,5} or {2,}; write "\\{" for a brace')
        self.at = end + 1
        return int(first), int(last) if last else (-1 if comma else int(first))

    def _one(self) -> _Node:
        char = self._peek()
        self.at += 1
        if char == "(":
            return self._group()
        if char == "[":
            return ("set", self._class())
        if char == ".":
            return ("set", _ANY)
        if char == "\\":
            return ("set", self._escape())
        if char in "*+?{":
            self.at -= 1
            raise self._error(f'nothing to repeat; write "\\{char}" for the character')
        if char in "^$":
            self.at -= 1
            raise self._error(f'"{char}" only at the end that it stands for (all of the text must match anyway)')
        return ("set", self._cased(((ord(char), ord(char)),)))

    def _group(self) -> _Node:
        if self._peek() == "?":
            rest = self.text[self.at :]
            if rest.startswith("?:"):
                self.at += 2
            elif rest.startswith("?P<") and ">" in rest:
                self.at += rest.index(">") + 1
            else:
                raise self._error(
                    "only (?:...) and (?P<name>...) are known here, and (?i) at the beginning of the pattern; "
                    "look-around cannot be matched in linear time"
                )
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(f"groups in groups more than {_DEEPEST} deep")
        node = self._choice()
        if self._peek() != ")":
            raise self._error('"(" without ")"')
        self.depth -= 1
        self.at += 1
        return node

    def _class(self) -> Ranges:
        negated = self._peek() == "^"
        self.at += negated
        found: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._member()
            is_range = self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("", "]")
            if not is_range:
                found += low
                continue
            self.at += 1
            high = self._member()
            if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
                raise self._error("a range in [...] has a character on each side")
            if high[0][0] < low[0][0]:
                raise self._error("a range in [...] that ends before it begins")
            found.append((low[0][0], high[0][0]))
        self.at += 1
        ranges = self._cased(tuple(found))
        return _opposite(ranges) if negated else ranges

    def _member(self) -> Ranges:
        char = self._peek()
        if not char:
            raise self._error('"[" without "]"')
        if char == "[" and self.text[self.at + 1 : self.at + 2] in (":", ".", "="):
            raise self._error("POSIX classes such as [:alpha:] are not known here; write a-zA-Z")
        self.at += 1
        return self._escape() if char == "\\" else ((ord(char), ord(char)),)

    def _escape(self) -> Ranges:
        char = self._peek()
        self.at += 1
        if not char:
            raise self._error("a backslash at the end")
        if char in _SETS:
            return _SETS[char]
        if char.lower() in _SETS:
            return _opposite(_SETS[char.lower()])
        if char in _CONTROLS:
            return ((_CONTROLS[char], _CONTROLS[char]),)
        if char == "x":
            digits = self.text[self.at : self.at + 2]
            if len(digits) != 2 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise self._error("expected two hexadecimal digits after \\x")
            self.at += 2
            return ((int(digits, 16), int(digits, 16)),)
        if char.isalnum():
            self.at -= 1
            raise self._error(f"\\{char} is not known here (back references and word boundaries are not linear)")
        return ((ord(char), ord(char)),)

    def _cased(self, ranges: Ranges) -> Ranges:
        if not self.any_case:
            return ranges
        more: list[tuple[int, int]] = []
        for low, high in ranges:
            for first, last, shift in ((65, 90, 32), (97, 122, -32)):
                if low <= last and high >= first:
                    more.append((max(low, first) + shift, min(high, last) + shift))
        return (*ranges, *more)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _error(self, what: str) -> PatternError:
        return PatternError(f"at character {self.at + 1} of {self.text[:80]!r}: {what}")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _opposite(ranges: Ranges) -> Ranges:
    found = []
    low = 0
    for first, last in sorted(ranges):
        if first > low:
            found.append((low, first - 1))
        low = max(low, last + 1)
    if low <= _LAST:
        found.append((low, _LAST))
    return tuple(found)
