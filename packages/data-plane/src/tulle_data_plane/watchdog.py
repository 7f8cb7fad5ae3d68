"""The watchdog: names the plugin that blocks the event loop, within a second, and then takes it out of there.

Owns a timer signal (SIGALRM) and what its handler does; no thread. Every TICK it asks the loop to answer
(`run_sync_soon`, which is made for signal handlers). If the loop has not by the next tick, it is blocked, and the
handler runs right in the middle of what blocks it: the frames it is given say whose code that is. When that is a
plugin's for INTERRUPT_SECONDS, the handler raises Stalled there: `time.sleep(3600)`, an endless loop, a regular
expression that backtracks for ever all end so, and what contains the plugin's faults does the rest. Where nothing
misbehaves, requests pay nothing.

Python runs handlers between bytecodes (and when a system call is interrupted, PEP 475): native code that neither
returns nor looks for signals is not seen. Kubernetes' liveness probe is for that.
"""

from __future__ import annotations

import atexit
import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

from tulle_data_plane.blame import Blame, Culprit
from tulle_data_plane.containment import Stalled
from tulle_data_plane.faults import Faults
from tulle_data_plane.log import say

TICK = 0.4
"""Seconds. Who blocks is named after one to two of these."""

INTERRUPT_SECONDS = 2.0

SLOW_LOAD_SECONDS = 5.0
LONGEST_LOAD_SECONDS = 30.0
"""For the import of one plugin: on a busy machine, a big one takes seconds."""


class Watchdog:
    """One a process. `start` before plugins are loaded, `attach` when the loop runs, `stop` in the end."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: monotonic seconds."""
        self._now = now
        self._faults: Faults | None = None
        self._blame = Blame()
        self._post: Callable[[Callable[[], None]], object] | None = None
        self._asked = 0.0  # when the loop was asked; 0: it has answered
        self._named = ""  # who blocks it, once that has been told
        self._loading, self._loading_since = "", 0.0

    def start(self) -> None:
        """Begin to tick. In the main thread."""
        signal.signal(signal.SIGALRM, self._tick)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        # An interpreter that ends takes its handlers away first, and SIGALRM by default kills: then `--check`, and a
        # refusal of settings, would end so on a machine where the rest of the ending takes longer than a tick.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Tick no more."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)

    def loading(self, plugin: str) -> None:
        """`plugin` is being imported now; "": no more. See `tulle_plugin_api.load`."""
        self._loading, self._loading_since = plugin, self._now()

    def attach(self, post: Callable[[Callable[[], None]], object], faults: Faults, blame: Blame) -> None:
        """The loop runs: `post` has it call a function, and is safe in a signal handler."""
        self._post, self._faults, self._blame = post, faults, blame

    def _tick(self, number: int, frame: FrameType | None) -> None:
        self.look(frame, self._now())

    def look(self, frame: FrameType | None, now: float) -> None:
        """What each tick does; `frame` is what runs. Raises Stalled into it."""
        if self._loading:
            self._look_at_loading(now)
            return
        if self._post is None or self._faults is None:
            return
        if not self._asked:
            self._asked = now
            self._post(self._answer)
            return
        culprit = self._blame.running(frame)
        if culprit is None:
            return  # our own work, or a machine that is busy
        seconds = now - self._asked
        if self._named != culprit.plugin:
            self._named = culprit.plugin
            self._tell(self._faults, culprit, seconds)
        if seconds >= INTERRUPT_SECONDS and culprit.alone:
            raise Stalled(f"blocked the event loop for {seconds:.1f} s at {culprit.where}")

    def _answer(self) -> None:
        """The loop runs."""
        if self._named:
            say(logging.INFO, "the event loop runs again", plugin=self._named,
                seconds=round(self._now() - self._asked, 1))
        self._asked, self._named = 0.0, ""

    def _tell(self, faults: Faults, culprit: Culprit, seconds: float) -> None:
        try:
            then = f"interrupted after {INTERRUPT_SECONDS:g} s" if culprit.alone else "nothing: it has called the proxy"
            faults.note(culprit.plugin, "stalled", f"for {seconds:.1f} s, at {culprit.where}", then)
        except RuntimeError:
            pass  # the handler came in the middle of somebody's write to the log

    def _look_at_loading(self, now: float) -> None:
        seconds = now - self._loading_since
        if seconds >= LONGEST_LOAD_SECONDS:
            raise Stalled(f"its import had not ended after {seconds:.0f} s")
        if seconds >= SLOW_LOAD_SECONDS and self._named != self._loading:
            self._named = self._loading
            say(logging.WARNING, "a plugin takes long to load", plugin=self._loading, seconds=round(seconds, 1))
