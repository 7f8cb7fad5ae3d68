"""What the host offers a policy: a clock, sleeping, deadlines, chance.

Owns the protocol, and an implementation on plain trio for plugins' tests. Refuses to know the data plane's
driver, which has its own implementation: a policy that uses only its `Runtime` runs in both, and cheaply.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tulle_plugin_api.errors import TimedOut


class Runtime(Protocol):
    """Given to `Policy.build`. Works in the proxy's fast path and in tests alike."""

    random: random.Random

    def now(self) -> float:
        """Monotonic seconds."""

    async def sleep(self, seconds: float) -> None:
        """Wait. Coarse: may wake up to 50 ms late, never early."""

    def timeout(self, seconds: float, error: TimedOut | str = "") -> AbstractContextManager[None]:
        """`with runtime.timeout(2): return await next(exchange)` raises TimedOut when 2 s have passed.

        `error`: what the TimedOut says, or an error of your own (made for each request, so a string is cheaper).

        Coarse like `sleep`. What was running inside is interrupted and cleans up after itself. `seconds` <= 0
        is refused with ValueError: no timeout at all is written by not using one.
        """


class TrioRuntime:
    """A `Runtime` on plain trio, for tests and for code outside the proxy. Follows trio's clock, MockClock included."""

    def __init__(self, seed: int | None = None) -> None:
        self.random = random.Random(seed)

    def now(self) -> float:
        """Monotonic seconds of trio's clock."""
        import trio

        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Wait, on trio's clock."""
        import trio

        await trio.sleep(seconds)

    @contextmanager
    def timeout(self, seconds: float, error: TimedOut | str = "") -> Iterator[None]:
        """As `Runtime.timeout`."""
        import trio

        if seconds <= 0:
            raise ValueError(f"a timeout is a positive number of seconds, got {seconds}")
        with trio.move_on_after(seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise error if isinstance(error, TimedOut) else TimedOut(error or f"nothing within {seconds:g} s")
