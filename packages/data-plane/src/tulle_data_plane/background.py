"""Background: what one policy of one configuration has under way beside requests, and its end.

Owns these strands: they end by themselves, 30 s after their configuration has been replaced, or with the proxy. What
they raise ends here. A nursery of its own for each policy, so to speak, on the driver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVarTuple

from tulle_data_plane.containment import in_words, must_go_on
from tulle_data_plane.driver import Stopped
from tulle_data_plane.strands import Strand

if TYPE_CHECKING:
    from tulle_data_plane.host import Host

Ts = TypeVarTuple("Ts")

MAX_UNDER_WAY = 1000
LINGER_SECONDS = 30.0
"""After a configuration was replaced: requests in flight finish on it, and what they have started may finish, too."""


class Background:
    """One policy's, in one configuration."""

    def __init__(self, host: Host, plugin: str) -> None:
        self._host, self._plugin = host, plugin
        self._strands: set[Strand] = set()
        self._starting = 0
        self._ended = False

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._strands) + self._starting

    def spawn(self, crossing: bool, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start one more, unless there are too many; `crossing`: it runs under trio. See Runtime.spawn."""
        if self._ended:
            return
        if self.under_way >= MAX_UNDER_WAY:
            detail = f"{self.under_way} are under way beside requests"
            self._host.faults.note(self._plugin, "leaked", detail, "the next was not started")
            return
        self._starting += 1
        self._host.driver.spawn(self._run, crossing, function, *args)

    async def _run(self, crossing: bool, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        driver = self._host.driver
        strand = driver.current_strand()
        self._starting -= 1
        self._strands.add(strand)
        try:
            if self._ended:
                return
            await (driver.in_trio(function, *args) if crossing else function(*args))
        except Stopped:
            pass  # by `end`
        except BaseException as error:
            if must_go_on(error):
                raise
            self._host.count("policy_background_failures_total")
            self._host.faults.note(self._plugin, "raised", f"beside a request: {in_words(error)}", "that work ended")
        finally:
            self._strands.discard(strand)

    def end_soon(self) -> None:
        """Its configuration is in force no more."""
        self._host.ending.append((self._host.driver.now() + LINGER_SECONDS, self))

    def end(self) -> None:
        """Cancel what is still under way. Not from a strand."""
        self._ended = True
        for strand in self._strands:
            self._host.driver.interrupt(strand, Stopped())
