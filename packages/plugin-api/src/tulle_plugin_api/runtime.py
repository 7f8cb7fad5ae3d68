"""What the host offers a policy: clock, sleep, deadlines, chance, events, counters, endpoints, leases, background.

Owns the protocol, and an implementation on plain trio for plugins' tests. Refuses to know the data plane's
driver, which has its own implementation: a policy that uses only its `Runtime` runs in both, and cheaply.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVarTuple

from tulle_plugin_api.endpoints import Endpoints, ListedEndpoints
from tulle_plugin_api.errors import TimedOut
from tulle_plugin_api.exchange import Direction
from tulle_plugin_api.lease import Lease, OwnLease, Terms

Ts = TypeVarTuple("Ts")


def counter_name(name: str, labels: Mapping[str, str]) -> str:
    """`name{a="x",b="y"}`, as counters with labels are kept; a label's value is a plain word."""
    if not labels:
        return name
    written = ",".join([f'{key}="{value}"' for key, value in labels.items()])
    return f"{name}{{{written}}}"


class Event(Protocol):
    """Something that requests wait for and another sets, once. Cancelling or timing out a wait harms nobody."""

    def set(self) -> None:
        """Wake everybody who waits, now and later. Setting it again does nothing."""

    async def wait(self) -> None:
        """Until it is set."""


class Runtime(Protocol):
    """Given to `Policy.build`. Works in the proxy's fast path and in tests alike."""

    random: random.Random
    direction: Direction
    """The side that this handler is built for: a policy for "both" may do nothing (return `next`) on one of them."""
    endpoints: Endpoints
    """What the requests are balanced over."""

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

    def event(self) -> Event:
        """A new event, not set."""

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to the proxy's counter `tulle_proxy_<name>`, which every exporter can see. 0 makes it known.

        `name`: lower case, the policy first, "_total" last: "retry_tries_total". `labels`: of a few fixed words, as in
        `reason="success-rate"`; never what a client chooses, no paths, no addresses. A proxy keeps 1000 such counters
        and drops what would be one more.
        """

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run `function` beside the request, which does not wait for it and may end before it.

        It may await what the policy itself may. What it raises is counted and logged, and harms nobody. It is
        cancelled when the proxy ends, and 30 s after the configuration that it was started under has been replaced.
        Of 1000 at a time for one configuration, further ones are not started, and counted as leaked: the policy bounds
        what it has under way, and gives each a timeout.
        """

    def lease(self, name: str, terms: Terms) -> Lease:
        """This proxy's part of a quota that all proxies with this MeshPolicy share, for each Service it applies to.

        `name` tells apart what one policy shares. Called in `build`; the lease is held by the handler, and given up
        with it. The control plane is asked in the background, for `terms.slice` tokens at a time; while it is away,
        each proxy takes its equal part of the quota.
        """


class TrioRuntime:
    """A `Runtime` on plain trio, for tests and for code outside the proxy. Follows trio's clock, MockClock included."""

    def __init__(
        self, seed: int | None = None, *, direction: Direction = "outbound", endpoints: Endpoints | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.direction: Direction = direction
        self.endpoints: Endpoints = endpoints if endpoints is not None else ListedEndpoints({}, self.now)
        self.counters: dict[str, float] = {}
        """What `count` has added up, by name without "tulle_proxy_"."""

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

    def event(self) -> Event:
        """As `Runtime.event`."""
        import trio

        return trio.Event()

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """As `Runtime.count`; read it in `counters`: `'name_total{reason="x"}'` where there are labels."""
        name = counter_name(name, labels)
        self.counters[name] = self.counters.get(name, 0) + amount

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """As `Runtime.spawn`: a system task, which trio cancels when `trio.run` ends."""
        import trio

        async def contained() -> None:
            try:
                await function(*args)
            except Exception:
                self.count("policy_background_failures_total")
                logging.getLogger("tulle").exception("a policy's background task failed")

        trio.lowlevel.spawn_system_task(contained)

    def lease(self, name: str, terms: Terms) -> Lease:
        """As `Runtime.lease`, shared with nobody."""
        return OwnLease(terms, self.now)
