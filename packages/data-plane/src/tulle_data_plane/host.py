"""What all of a proxy's parts share: the driver, settings, plugins, pools, counters, and who is told of exchanges.

Owns these objects' lifetimes. Made once by main (or a test), given to the stack and the listeners.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVarTuple
from weakref import WeakKeyDictionary, WeakSet

from tulle_plugin_api import (
    Direction,
    Endpoints,
    Event,
    Exchange,
    Exporter,
    Handler,
    Lease,
    Plugins,
    Terms,
    TimedOut,
    TrioRuntime,
)
from tulle_plugin_api.kinds import Kind, kind
from tulle_plugin_api.runtime import counter_name

from tulle_data_plane.background import Background
from tulle_data_plane.blame import Blame
from tulle_data_plane.containment import Stalled, in_words, must_go_on
from tulle_data_plane.deadlines import Deadline
from tulle_data_plane.driver import Driver, Signal
from tulle_data_plane.faults import Faults
from tulle_data_plane.layers.endpoints import NO_ENDPOINTS
from tulle_data_plane.logic.table import Source
from tulle_data_plane.settings import Settings
from tulle_data_plane.shell.descriptors import ceiling
from tulle_data_plane.shell.leasing import Leases
from tulle_data_plane.shell.pool import Pool
from tulle_data_plane.shell.splice import Pipes
from tulle_data_plane.wire import http1

if TYPE_CHECKING:
    from tulle_plugin_api.trace import Tracer

    from tulle_data_plane.layers.guard import Guard

Ts = TypeVarTuple("Ts")

MAX_COUNTERS = 1000
"""Of the proxy's own, those of policies included. What would be one more is counted as OVERFLOW."""
OVERFLOW = "tulle_proxy_counters_overflow_total"

MAX_KINDS = 512
"""Kinds of exchanges whose observers are remembered. When there are more, all are forgotten: what repeats is soon back.
"""

MAX_OBSERVER_FAILURES = 100
"""An exporter that raises this often is disabled: it costs every request and tells nobody anything."""
STALL_WEIGHT = 34
"""One that blocks the event loop is disabled the third time."""


class DriverRuntime:
    """`tulle_plugin_api.Runtime` on the driver: what policies use without leaving the fast path."""

    def __init__(
        self,
        host: Host,
        direction: Direction,
        endpoints: Endpoints,
        random: random.Random,
        background: Background,
        scope: str = "",
    ) -> None:
        """`scope`: which policy of which Service this is for, in the same words in every proxy."""
        self._host, self._driver, self._background, self._scope = host, host.driver, background, scope
        self.direction: Direction = direction
        self.endpoints: Endpoints = endpoints
        self.random = random
        self.count = host.count
        self.now = host.driver.now  # the clock itself: policies ask it once a request, or more often

    async def sleep(self, seconds: float) -> None:
        """Wait, coarsely."""
        await self._driver.sleep(seconds)

    def timeout(self, seconds: float, error: TimedOut | str = "") -> AbstractContextManager[None]:
        """See Runtime.timeout."""
        if seconds <= 0:
            raise ValueError(f"a timeout is a positive number of seconds, got {seconds}")
        return Deadline(self._driver, seconds, error)

    def event(self) -> Event:
        """See Runtime.event."""
        return Signal(self._driver)

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """See Runtime.spawn. A strand of its own."""
        self._background.spawn(False, function, *args)

    def lease(self, name: str, terms: Terms) -> Lease:
        """See Runtime.lease."""
        return self._host.leases.lease(f"{self._scope} {name}", terms)


class CrossedRuntime(TrioRuntime):
    """For policies that use trio: their own clock and events, the proxy's counters, endpoints and background."""

    def __init__(
        self, host: Host, direction: Direction, endpoints: Endpoints, background: Background, scope: str = ""
    ) -> None:
        super().__init__(direction=direction, endpoints=endpoints)
        self._host, self._background, self._scope = host, background, scope
        self.count = host.count  # type: ignore[method-assign]

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """See Runtime.spawn. A strand that crosses to trio at once."""
        self._background.spawn(True, function, *args)

    def lease(self, name: str, terms: Terms) -> Lease:
        """See Runtime.lease."""
        return self._host.leases.lease(f"{self._scope} {name}", terms)


class Observer(NamedTuple):
    """Who is told of exchanges that end: see Host.observe."""

    name: str
    observe: Callable[[Exchange], object]
    observer: Callable[[Exchange], Callable[[Exchange], object]] | None


class Host:
    """The parts. `ended` and `opened` tell every observer; an observer that raises is counted, then disabled."""

    def __init__(self, driver: Driver, settings: Settings, plugins: Plugins) -> None:
        self.driver = driver
        self.settings = settings
        self.plugins = plugins
        self.limits = http1.Limits(
            request_line=settings.request_line_bytes,
            head=settings.head_bytes,
            fields=settings.head_fields,
            chunk_extensions=settings.chunk_extension_bytes,
            trailers=settings.trailer_bytes,
        )
        self.answers = http1.ResponseParser(self.limits)
        self.ceiling = ceiling()
        idle = settings.pool_idle_seconds
        self.outbound_pool = Pool(driver, settings.connect_seconds_outbound, idle, ceiling=self.ceiling)
        self.inbound_pool = Pool(driver, settings.connect_seconds_inbound, idle, ceiling=self.ceiling)
        self.pipes = Pipes(self.ceiling)
        self.leases = Leases(driver.now)
        self.counters: dict[str, float] = {}
        self.faults = Faults(self.count, time.monotonic)  # also told before the driver runs
        self.blame = Blame()
        self.guards: WeakSet[Guard] = WeakSet()
        self.named: WeakKeyDictionary[Handler, tuple[str, str]] = WeakKeyDictionary()  # policies': type and source
        self.ending: list[tuple[float, Background]] = []  # when, and whose configuration has been replaced
        self.random = random.Random()
        self.source = Source(
            settings.pod_namespace, f"{settings.pod_namespace}/{settings.service_account}"
        )  # its labels come with the inbound configuration
        self.tracer: Tracer | None = None  # there is one when an exporter tells of spans
        self._observers: list[Observer] = []
        self._kinds: dict[Kind, list[tuple[Observer, Callable[[Exchange], object]]]] = {}
        self._ended: list[Exchange] = []  # in this turn of the driver
        self._openers: list[tuple[str, Callable[[Exchange], None]]] = []
        self._exporters: dict[str, str] = {}  # the plugin of each, by name
        self._failures: dict[str, int] = {}

    @cached_property
    def runtime(self) -> DriverRuntime:
        """The balancers'. Made when the first asks for it: then the driver runs, and knows its clock."""
        return DriverRuntime(self, "outbound", NO_ENDPOINTS, self.random, Background(self, "balancers"))

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to one of the proxy's own counters, `tulle_proxy_<name>`. See Runtime.count."""
        name = f"tulle_proxy_{counter_name(name, labels)}"
        before = self.counters.get(name)
        if before is None:
            if len(self.counters) >= MAX_COUNTERS:  # somebody counts by what clients choose
                name, before = OVERFLOW, self.counters.get(OVERFLOW, 0)
            else:
                before = 0
        self.counters[name] = before + amount

    def counting(self, name: str, /, **labels: str) -> Callable[[], None]:
        """A function that adds 1 to a counter of our own, for what happens often: its name is put together once."""
        counters, name = self.counters, f"tulle_proxy_{counter_name(name, labels)}"

        def one_more() -> None:
            counters[name] = counters.get(name, 0) + 1

        return one_more

    def ejected(self, reason: str) -> None:
        """An endpoint that accepts no connection was ejected."""
        self.count("endpoint_ejections_total", reason=reason)

    def sweep(self, now: float) -> None:
        """Give up what takes too long: requests in policies' hands, background work of replaced configurations."""
        for guard in self.guards:
            guard.sweep(now)
        if self.ending:
            for at, background in self.ending:
                if at <= now:
                    background.end()
            self.ending = [pair for pair in self.ending if pair[0] > now]

    def unforeseen(self, error: BaseException) -> str:
        """Note an error that is nobody's decision; the plugin that it comes from, or "" when it is our own fault."""
        culprit = self.blame.raised(error)
        if culprit is None:
            return ""
        if not isinstance(error, Stalled):  # the watchdog has noted that one
            self.faults.note(culprit.plugin, "raised", f"{in_words(error)} ({culprit.where})", "the request was denied")
        return culprit.plugin

    def learn(self, kind: str, name: str, of: object) -> str:
        """Remember whose modules those of `of` (a plugin's instance) are; returns the plugin that registered it."""
        plugin = self.plugins.provider(kind, name)
        self.blame.learn(type(of).__module__, plugin)
        return plugin

    def observe(
        self,
        name: str,
        observe: Callable[[Exchange], object],
        opened: Callable[[Exchange], None] | None = None,
        observer: Callable[[Exchange], Callable[[Exchange], object]] | None = None,
    ) -> None:
        """Tell `observe` of each exchange that ends, and `opened` of each relayed connection that opens.

        `observer`: gives what is to be told instead of `observe` of exchanges of one kind (Exporter.observer).
        """
        self._observers.append(Observer(name, observe, observer))
        self._kinds.clear()
        if opened is not None:
            self._openers.append((name, opened))

    def add_exporter(self, name: str, exporter: Exporter) -> None:
        """Tell an exporter of each exchange that ends, and of each relayed connection that opens."""
        self._exporters[name] = self.learn("exporter", name, exporter)
        wants_opened = type(exporter).opened is not Exporter.opened
        self.observe(name, exporter.observe, exporter.opened if wants_opened else None, exporter.observer)
        if exporter.spans and self.tracer is None:
            from tulle_plugin_api.trace import Tracer

            self.tracer = Tracer(self.settings.trace_sample, self.settings.trace_format, self.random)

    def ended(self, exchange: Exchange) -> None:
        """An exchange ended. Never raises. Observers are told of it at the end of the driver's turn."""
        self._ended.append(exchange)
        if len(self._ended) == 1:
            self.driver.after(self._tell)

    def _tell(self) -> None:
        exchanges, self._ended = self._ended, []
        kinds = self._kinds
        for exchange in exchanges:
            key = kind(exchange)
            for observer, tell in kinds.get(key) or self._observers_of(key, exchange):
                try:
                    tell(exchange)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # whatever it is: no strand is being stepped, so that it is its own
                    self._failed(observer.name, error)

    def _observers_of(self, key: Kind, like: Exchange) -> list[tuple[Observer, Callable[[Exchange], object]]]:
        """Who is to be told of exchanges of this kind. An observer that cannot say is told of them as of any."""
        told = []
        for observer in self._observers:
            tell = observer.observe
            if observer.observer is not None:
                try:
                    tell = observer.observer(like)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    self._failed(observer.name, error)
            told.append((observer, tell))
        told = [pair for pair in told if pair[0] in self._observers]  # without who was disabled for it just now
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[key] = told
        return told

    def opened(self, exchange: Exchange) -> None:
        """A relayed connection opened. Never raises."""
        for name, opener in self._openers:
            try:
                opener(exchange)
            except BaseException as error:
                if must_go_on(error):
                    raise
                self._failed(name, error)

    def _failed(self, name: str, error: BaseException) -> None:
        stalled = isinstance(error, Stalled)
        failures = self._failures[name] = self._failures.get(name, 0) + (STALL_WEIGHT if stalled else 1)
        self.exporter_failed(name, "raised", error)
        if failures >= MAX_OBSERVER_FAILURES:
            self._observers = [one for one in self._observers if one.name != name]
            self._kinds.clear()
            self._openers = [pair for pair in self._openers if pair[0] != name]
            self.faults.set_state(self._exporters.get(name, name), "disabled")

    def exporter_failed(self, name: str, what: str, error: BaseException | str) -> None:
        """Count and tell what an exporter did."""
        self.count("exporter_failures_total")
        if isinstance(error, Stalled):  # the watchdog has noted it
            return
        plugin = self._exporters.get(name, name)
        self.faults.note(plugin, what, f"exporter {name}: {_said(error)}", "the others were told")


def _said(error: BaseException | str) -> str:
    return error if isinstance(error, str) else in_words(error)
