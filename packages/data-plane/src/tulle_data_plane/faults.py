"""Faults: what plugins have done wrong in this proxy, counted, logged, and told to whoever asks.

Owns the words for it (WHAT), the counter `tulle_proxy_plugin_failures_total{plugin,what}`, one log line that does not
repeat itself, and the rows that `GET /config`, the control plane and `tulle proxy status` show. Refuses to decide what
becomes of a request: those who catch a fault do (layers/guard.py, layers/contained.py, host.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from tulle_data_plane.log import say

WHAT = {
    "load": "could not be loaded",
    "raised": "raised an error",
    "nonsense": "gave something that it may not give",
    "overdue": "did not return in time",
    "stalled": "blocked the event loop",
    "leaked": "has started too much that does not end",
}
"""Every kind of fault, in words."""

LOG_SECONDS = 10.0
"""The same fault of the same plugin is logged once in so many seconds, with how often it happened meanwhile."""

MAX_PLUGINS = 100
"""Rows; there are never so many plugins, unless somebody makes up names."""

LONGEST_ERROR = 300

STRIKES = 3
SUSPENDED_SECONDS = 60.0


class Count(Protocol):
    """Runtime.count."""

    def __call__(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""


class Fault:
    """One plugin's row."""

    __slots__ = ("by", "error", "plugin", "state")

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.state = "misbehaving"
        self.error = ""  # the last one, in words
        self.by: dict[str, int] = {}  # how often, by WHAT

    @property
    def failures(self) -> int:
        """How often it went wrong, in any way."""
        return sum(self.by.values())


class Faults:
    """All rows. `now`: monotonic seconds."""

    def __init__(self, count: Count, now: Callable[[], float]) -> None:
        self._count, self._now = count, now
        self.rows: dict[str, Fault] = {}
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # when, and how many there were by then

    def note(self, plugin: str, what: str, detail: str, then: str) -> None:
        """`plugin` did `what`; `then` is what became of it. Never raises."""
        row = self.rows.get(plugin)
        if row is None:
            if len(self.rows) >= MAX_PLUGINS:
                plugin = "others"
            row = self.rows.setdefault(plugin, Fault(plugin))
        row.by[what] = row.by.get(what, 0) + 1
        row.error = f"{WHAT[what]}: {detail}"[:LONGEST_ERROR]
        if what == "load":
            row.state = "failed"
        self._count("plugin_failures_total", plugin=plugin, what=what)
        if what == "stalled":
            self._count("stalls_total", plugin=plugin)
        now, (at, before) = self._now(), self._said.get((plugin, what), (-LOG_SECONDS, 0))
        if now - at >= LOG_SECONDS:
            self._said[plugin, what] = now, row.by[what]
            detail = detail[:LONGEST_ERROR]
            if what == "load":
                say(logging.ERROR, f"plugin did not load; {then}", plugin=plugin, error=detail)
                return
            say(logging.WARNING, f"plugin {plugin} {WHAT[what]}", plugin=plugin, what=what, detail=detail, then=then,
                times=row.by[what] - before)

    def set_state(self, plugin: str, state: str) -> None:
        """"suspended" or "disabled": nobody asks it any more, for a while or for good; "misbehaving": asked again."""
        row = self.rows.get(plugin)
        if row is not None and row.state != state:
            row.state = state
            level = logging.INFO if state == "misbehaving" else logging.ERROR
            say(level, f"plugin {state}", plugin=plugin, failures=row.failures, last=row.error)

    def describe(self) -> list[dict[str, object]]:
        """As JSON: plugin, state, error, failures and, by kind, `what`."""
        return [
            {"plugin": row.plugin, "state": row.state, "error": row.error, "failures": row.failures, "what": row.by}
            for row in self.rows.values()
        ]


class Strikes:
    """What costs everybody's time (a stall, an overdue request) is allowed STRIKES times, then one is not asked for a
    while; after that, one more is too many. One for each place where a plugin is called."""

    __slots__ = ("_count", "_faults", "_now", "_plugin", "until")

    def __init__(self, faults: Faults, plugin: str, now: Callable[[], float]) -> None:
        self._faults, self._plugin, self._now = faults, plugin, now
        self._count = 0
        self.until = 0.0  # 0: it is asked

    def strike(self) -> None:
        """One more."""
        self._count += 1
        if self._count >= STRIKES:
            self.until = self._now() + SUSPENDED_SECONDS
            self._faults.set_state(self._plugin, "suspended")

    def out(self) -> bool:
        """Is it left alone now? To be asked only where `until` is not 0."""
        if self._now() < self.until:
            return True
        self.until, self._count = 0.0, STRIKES - 1
        self._faults.set_state(self._plugin, "misbehaving")
        return False
