"""A `Runtime` without trio: a bare driver that steps coroutines on virtual time, and refuses any wait but its own.

Owns the proof of `uses_trio = False`: in the proxy such a handler is stepped by the data plane's driver, where a trio
wait cannot work. Here trio does not even run, so that whatever needs it fails, by name. Nothing really waits.
"""

from __future__ import annotations

import heapq
import random
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

from tulle_plugin_api.errors import TimedOut
from tulle_plugin_api.exchange import Direction, Endpoint
from tulle_plugin_api.lease import Lease, OwnLease, Terms
from tulle_plugin_api.runtime import counter_name

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NEVER = float("inf")

MAX_STEPS = 2_000_000
MAX_SECONDS = 30 * 86_400.0
"""A handler that takes longer than this, in steps or in virtual seconds, is taken to never end."""


class NotOnTheFastPath(AssertionError):
    """Something was awaited that is neither `next` nor the Runtime's: it needs trio, or asyncio, or a thread."""


class NeverEnds(AssertionError):
    """Too many steps, or too much virtual time."""


class Expired(BaseException):
    """Raised at a strand's wait when a deadline has passed. As trio's Cancelled, nobody but its block may keep it."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__("a deadline has passed; let this pass through")
        self.deadline = deadline


@dataclass(eq=False)
class Deadline:
    """A block of `SteppingRuntime.timeout`."""

    at: float


@dataclass(eq=False)
class Strand:
    """A coroutine under way."""

    coroutine: Coroutine[Any, Any, Any]
    until: float  # what it waits for
    deadlines: list[Deadline] = field(default_factory=list)  # the outermost first
    result: Any = None
    error: BaseException | None = None
    ended: bool = False
    spawned: bool = False
    event: object = None  # that it waits for

    @property
    def wakes(self) -> float:
        """When it must be stepped."""
        return min([self.until, *(deadline.at for deadline in self.deadlines)])


@dataclass(frozen=True)
class _Until:
    """What a strand yields: step me then."""

    at: float


class SteppingEvent:
    """Something that strands wait for and another sets, once."""

    def __init__(self, runtime: SteppingRuntime) -> None:
        self._runtime = runtime
        self._is_set = False

    def set(self) -> None:
        """Wake everybody who waits."""
        self._is_set = True
        self._runtime.wake(self)

    async def wait(self) -> None:
        """Until it is set."""
        while not self._is_set:
            await self._runtime.wait_for(self)


class Balanced:
    """The endpoints that a policy may know of: those of the backend that the suites' requests go to."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self.ejected: set[Endpoint] = set()

    def all(self, backend: str) -> Sequence[Endpoint]:
        """Of any backend that has a name: the same."""
        return self._endpoints if backend else ()

    def eject(self, backend: str, endpoint: Endpoint, seconds: float) -> None:
        """Noted; nothing here balances."""
        self.ejected.add(endpoint)

    def readmit(self, backend: str, endpoint: Endpoint) -> None:
        """Forgotten."""
        self.ejected.discard(endpoint)


class SteppingRuntime:
    """See `tulle_plugin_api.Runtime`. `run` is the driver."""

    def __init__(
        self, seed: int = 1, *, direction: Direction = "outbound", endpoints: Sequence[Endpoint] = ()
    ) -> None:
        self.random = random.Random(seed)
        self.direction: Direction = direction
        self.endpoints: Any = Balanced(endpoints)  # whatever protocol the Runtime has for it
        self.counters: dict[str, float] = {}
        self._strands: list[Strand] = []  # of the run that is under way
        self._queue: list[tuple[float, int]] = []  # when to step which of them
        self._time = 1000.0  # as on a machine that has been up for a while: 0.0 means "not yet"
        self._current: Strand | None = None

    def now(self) -> float:
        """Virtual seconds."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Let time pass, between two runs."""
        self._time += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait, in virtual time."""
        self._strand()
        await _park(self._time + max(0.0, seconds))

    @contextmanager
    def timeout(self, seconds: float, error: TimedOut | str = "") -> Iterator[None]:
        """See `Runtime.timeout`."""
        if seconds <= 0:
            raise ValueError(f"a timeout is a positive number of seconds, got {seconds}")
        strand, deadline = self._strand(), Deadline(self._time + seconds)
        strand.deadlines.append(deadline)
        try:
            yield
        except Expired as expired:
            if expired.deadline is not deadline:
                raise
            if not isinstance(error, TimedOut):
                error = TimedOut(error or f"nothing within {seconds:g} s")
            raise error from None
        finally:
            strand.deadlines.remove(deadline)

    def event(self) -> SteppingEvent:
        """A new event, not set."""
        return SteppingEvent(self)

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter; read it in `counters`, labels as `counter_name` writes them."""
        name = counter_name(name, labels)
        self.counters[name] = self.counters.get(name, 0) + amount

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run `function` beside the others. `run` waits for it, too: what never ends is found out."""

        async def beside() -> None:
            await function(*args)

        self._strand()
        self._start(beside(), spawned=True)

    def lease(self, name: str, terms: Terms) -> Lease:
        """See `Runtime.lease`; shared with nobody."""
        return OwnLease(terms, self.now)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, or its error raised."""
        (strand,) = self.run_all([coroutine])
        if strand.error is not None:
            raise strand.error
        result: T = strand.result
        return result

    def run_all(self, coroutines: list[Coroutine[Any, Any, Any]]) -> list[Strand]:
        """Step all of them, as their waits end, until all have ended. Raises NotOnTheFastPath, NeverEnds."""
        self._strands, self._queue = [], []
        for coroutine in coroutines:
            self._start(coroutine)
        limit, steps = self._time + MAX_SECONDS, 0
        try:
            while self._queue:
                at, number = heapq.heappop(self._queue)
                strand = self._strands[number]
                if strand.ended or at != strand.wakes:
                    continue  # it was woken earlier
                if at == NEVER:
                    raise NeverEnds("it waits for an event that nobody will set")
                self._time = max(self._time, at)
                steps += 1
                if steps > MAX_STEPS or self._time > limit:
                    raise NeverEnds(f"still under way after {steps} steps and {self._time - limit + MAX_SECONDS:g} s")
                if self._step(strand):
                    heapq.heappush(self._queue, (strand.wakes, number))
        finally:
            strands, self._strands = self._strands, []
            for strand in strands:
                strand.coroutine.close()
        return [strand for strand in strands if not strand.spawned]

    def _start(self, coroutine: Coroutine[Any, Any, Any], spawned: bool = False) -> None:
        self._strands.append(Strand(coroutine, self._time, spawned=spawned))
        heapq.heappush(self._queue, (self._time, len(self._strands) - 1))

    async def wait_for(self, event: SteppingEvent) -> None:
        """Until `wake` is called for it, or spuriously."""
        strand = self._strand()
        strand.event = event
        try:
            await _park(NEVER)
        finally:
            strand.event = None

    def wake(self, event: SteppingEvent) -> None:
        """Step those that wait for it."""
        for number, strand in enumerate(self._strands):
            if strand.event is event and not strand.ended:
                strand.until = self._time
                heapq.heappush(self._queue, (strand.wakes, number))

    def _step(self, strand: Strand) -> bool:
        """False: it has ended."""
        self._current, refusal = strand, None
        try:
            if strand.until <= self._time:
                said = strand.coroutine.send(None)
            else:
                said = strand.coroutine.throw(self._expired(strand))
            while not isinstance(said, _Until):
                refusal = NotOnTheFastPath(
                    f"awaited {said!r}: on the fast path only `next` and the Runtime may be awaited; "
                    "use runtime.sleep and runtime.timeout, or say `uses_trio = True`"
                )
                said = strand.coroutine.throw(refusal)
            strand.until = said.at
        except StopIteration as stop:
            strand.result, strand.ended = stop.value, True
            return False
        except BaseException as error:
            strand.error, strand.ended = error, True
            if strand.spawned:
                self.count("policy_background_failures_total")
            return False
        finally:
            self._current = None
            if refusal is not None:
                raise refusal  # also when the coroutine has caught it
        return True

    def _expired(self, strand: Strand) -> Expired:
        return Expired(min(strand.deadlines, key=lambda deadline: deadline.at))  # of equals the outermost

    def _strand(self) -> Strand:
        if self._current is None:
            raise RuntimeError("only a handler can wait: not `build`, `check` or `pick`")
        return self._current


@types.coroutine
def _park(at: float) -> Generator[Any, Any, None]:
    yield _Until(at)
