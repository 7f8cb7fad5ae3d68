"""An account of one request: which layers it entered, when, and what each of them did to it.

Owns the tree of steps and the words. Pure: whoever sees a layer entered or left says so, and when; what a layer did is
found out by comparing the request and the answer before and after it. Refuses to know how layers are seen (twin.py)
or who asked (shell/explaining.py).

Bounded, whatever a policy does: so many steps and notes, each so long. Fields that let their owner in are named, and
their values left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tulle_plugin_api import Endpoint, Exchange, Failure, Headers, Response

MOST_STEPS = 200
MOST_NOTES = 20
LONGEST = 300
"""Characters of a note, a path, a detail."""
WORTH_TELLING = 0.005
"""Seconds for which a layer holds a request before that is a note of its own."""

SECRET = frozenset({
    "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "authentication-info",
})  # fmt: skip
FRAMING = frozenset({"content-length"})
"""What follows from the body is no edit."""


@dataclass(slots=True)
class Step:
    """One layer, entered once. Times are the proxy's monotonic seconds."""

    kind: str  # "rescue", "route", "policy" and so on: twin.py has them all
    name: str  # the type of a policy
    source: str  # the object that it is from
    depth: int
    began: float
    ended: float = 0.0
    outcome: str = ""  # see Step.outcome in telemetry.proto
    status: int = 0
    reason: str = ""
    detail: str = ""
    notes: list[str] = field(default_factory=list)
    endpoint: Endpoint | None = None
    row: int = 0

    def note(self, words: str) -> None:
        """Something that it did."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(words[:LONGEST])


@dataclass(slots=True)
class _Open:
    """A step that has not been left, and what was seen of the request and the answer within it last."""

    step: Step
    request: _Request
    since: float  # when it had the request in its own hands last
    answer: tuple[Response, int, bytes, object] | None = None
    failure: BaseException | None = None
    calls: int = 0  # of the layer within


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    authority: str
    block: bytes

    @classmethod
    def of(cls, exchange: Exchange) -> _Request:
        return cls(exchange.method, exchange.path, exchange.authority, exchange.headers.block)


class Account:
    """See the module's docstring. `exchange`: the one that it is about; `began`: when, seconds."""

    def __init__(self, exchange: Exchange, began: float) -> None:
        self.exchange = exchange
        self.began = began
        self.steps: list[Step] = []
        self.cut = False  # there were more
        self._open: list[_Open] = []

    @property
    def innermost(self) -> Step | None:
        """The layer that has the request in its hands."""
        return self._open[-1].step if self._open else None

    def note(self, words: str) -> None:
        """Something that the innermost layer did."""
        if self._open:
            self._open[-1].step.note(words)

    def within(self, kind: str) -> bool:
        """Is the innermost layer of that kind?"""
        return bool(self._open) and self._open[-1].step.kind == kind

    def enter(self, kind: str, name: str, source: str, now: float) -> Step:
        """The request enters a layer. What the one around it did to it until now is noted there."""
        request = _Request.of(self.exchange)
        if self._open:
            outer = self._open[-1]
            for words in _edits(outer.request, request):
                outer.step.note(words)
            outer.calls += 1
            held = now - outer.since
            if outer.calls > 1:
                paused = f" after {held * 1000:.0f} ms" if held >= WORTH_TELLING else ""
                outer.step.note(f"tried again{paused}" if kind != "session" else "asked again")
            elif held >= WORTH_TELLING:
                outer.step.note(f"held it for {held * 1000:.0f} ms before it passed it on")
        step = Step(kind, name[:LONGEST], source[:LONGEST], len(self._open), now)
        if len(self.steps) < MOST_STEPS:
            self.steps.append(step)
        else:
            self.cut = True
        self._open.append(_Open(step, request, now))
        return step

    def answered(self, step: Step, response: Response, now: float) -> None:
        """The layer gives an answer."""
        mine = self._leave(step, now)
        if mine is None:
            return
        step.status, step.reason = response.status, response.reason
        step.outcome = "passed" if mine.answer is not None and mine.failure is None else "answered"
        if mine.answer is not None and mine.failure is None:
            for words in _changes(mine.answer, response):
                step.note(words)
        elif mine.failure is not None:
            step.note(f"made {response.status} of it: {_said(mine.failure)}")
        if self._open:
            outer = self._open[-1]
            # the block as of now: policies edit an answer in place
            outer.answer, outer.failure = (response, response.status, response.headers.block, response.body), None

    def failed(self, step: Step, error: BaseException, now: float) -> None:
        """The layer raises."""
        mine = self._leave(step, now)
        if mine is None:
            return
        step.outcome = "passed-failure" if mine.failure is error else "failed"
        step.reason = error.reason if isinstance(error, Failure) else type(error).__name__
        step.detail = (error.detail if isinstance(error, Failure) else str(error))[:LONGEST]
        if self._open:
            outer = self._open[-1]
            outer.answer, outer.failure = None, error

    def _leave(self, step: Step, now: float) -> _Open | None:
        step.ended = now
        found = None
        while self._open and any(each.step is step for each in self._open):  # and what was left in no order
            found = self._open.pop()
        if found is not None and self._open:
            outer = self._open[-1]
            outer.request, outer.since = _Request.of(self.exchange), now  # what is further in did that
        return found


def _said(failure: BaseException) -> str:
    return failure.reason if isinstance(failure, Failure) else type(failure).__name__


def _edits(before: _Request, after: _Request) -> Iterator[str]:
    if after == before:
        return
    for what in ("method", "path", "authority"):
        old, new = getattr(before, what), getattr(after, what)
        if old != new:
            yield f"{what} {old} became {new}"
    yield from _differences("request", Headers(before.block), Headers(after.block))


def _changes(before: tuple[Response, int, bytes, object], after: Response) -> Iterator[str]:
    response, status, block, body = before
    if after is not response and after.status == status:
        yield "gave another answer in its stead"
    if after.status != status:
        yield f"status {status} became {after.status}"
    if after.body is not body and not (isinstance(body, bytes) and body == after.body):
        yield "took the body into its hands"
    if after.headers.block != block:
        yield from _differences("answer", Headers(block), after.headers)


def _differences(whose: str, before: Headers, after: Headers) -> Iterator[str]:
    old, new = _by_name(before), _by_name(after)
    for name, values in new.items():
        if old.get(name) != values and name not in FRAMING:
            shown = "..." if name in SECRET else ", ".join(values)
            yield f"{whose}: {'set' if name not in old else 'changed'} {name}: {shown}"
    for name in old:
        if name not in new and name not in FRAMING:
            yield f"{whose}: took off {name}"


def _by_name(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found
