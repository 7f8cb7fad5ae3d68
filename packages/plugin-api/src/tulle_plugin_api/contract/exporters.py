"""The contract of exporters, as tests.

Owns what the proxy relies on: `observe` takes any exchange, soon, and for ever; a receiver that is away costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from tulle_plugin_api.contract import exposition, samples
from tulle_plugin_api.contract.judge import installed, not_installed
from tulle_plugin_api.contract.sizes import reachable_bytes
from tulle_plugin_api.exchange import Address, Exchange
from tulle_plugin_api.kinds import Kind, kind
from tulle_plugin_api.protocols import Exporter, ExporterContext, ExporterFactory

CLOSING_SECONDS = 2.0
"""What `aclose` has (protocols.py)."""


class ExporterContract:
    """Subclass it in a test file, set `plugin`, and run pytest."""

    plugin: ClassVar[str]
    """The exporter's name, as in TULLE_EXPORTERS."""

    options: ClassVar[Sequence[Mapping[str, str]]] = ({},)
    """Options that it accepts; each test runs with each. A receiver named here should be one that is not there."""

    refused: ClassVar[Sequence[Mapping[str, str]]] = ()
    """Options that it refuses."""

    bound: ClassVar[int] = 5000
    """How many series, or queued exchanges, it may hold; twice as many must not make it larger."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One run of a test for each set of options."""
        for name, values in (("option", self.options), ("bad_option", self.refused)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=repr)

    @pytest.fixture
    def factory(self) -> ExporterFactory:
        """The installed plugin's."""
        plugins = installed()
        assert self.plugin in plugins.exporters, not_installed(
            "exporter", self.plugin, plugins.exporters, plugins.failures
        )
        return plugins.exporters[self.plugin]

    @pytest.fixture
    def lines(self) -> list[bytes]:
        """What was written to the log."""
        return []

    @pytest.fixture
    def exporter(self, factory: ExporterFactory, option: Mapping[str, str], lines: list[bytes]) -> Exporter:
        """A new one."""
        return factory(_context(option, lines))

    # --- what it is -----------------------------------------------------------------------------------------

    def test_the_factory_makes_an_exporter_each_time_a_new_one(
        self, factory: ExporterFactory, option: Mapping[str, str], lines: list[bytes]
    ) -> None:
        """That it can be made says nothing about whether its receiver is there."""
        one, other = factory(_context(option, lines)), factory(_context(option, lines))
        assert isinstance(one, Exporter)
        assert one is not other

    def test_an_unknown_option_is_refused_by_its_name(
        self, factory: ExporterFactory, option: Mapping[str, str], lines: list[bytes]
    ) -> None:
        """A typing error in an environment variable must not be an option that does nothing."""
        with pytest.raises(ValueError, match="no_such_option"):
            factory(_context({**option, "no_such_option": "1"}, lines))

    def test_what_it_refuses(self, factory: ExporterFactory, bad_option: Mapping[str, str], lines: list[bytes]) -> None:
        """With ValueError, whose words the proxy logs."""
        with pytest.raises(ValueError, match=r"\w"):
            factory(_context(bad_option, lines))

    # --- observe --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("ending", samples.ODD_ENDINGS)
    def test_any_exchange_is_observed(self, exporter: Exporter, lines: list[bytes], ending: str) -> None:
        """Each odd request with each odd ending: never an error, and a page or lines that are whole."""
        for make in samples.ODD_REQUESTS.values():
            exchange = make()
            tcp = samples.ODD_ENDINGS[ending].get("protocol") == "tcp"
            if tcp:
                exchange.protocol = "tcp"
                exporter.opened(exchange)
            for name, value in samples.ODD_ENDINGS[ending].items():
                setattr(exchange, name, value)
            exporter.observe(exchange)
        self._check_output(exporter, lines)

    def test_a_close_without_an_open_and_an_open_without_a_close(self, exporter: Exporter, lines: list[bytes]) -> None:
        """Connections from before a reload; connections that outlive the exporter."""
        exporter.observe(_connection(1))
        exporter.opened(_connection(2))
        opened = _connection(3)
        exporter.opened(opened)
        exporter.observe(opened)
        exporter.observe(opened)
        self._check_output(exporter, lines)

    def test_an_exchange_is_read_when_it_is_observed(self, exporter: Exporter, lines: list[bytes]) -> None:
        """And left as it was: others observe it too."""
        exchange = _ended(1)
        before = dict(vars(exchange))
        exporter.observe(exchange)
        assert vars(exchange) == before

    def test_an_observer_of_a_kind_tells_what_observe_tells(
        self, factory: ExporterFactory, option: Mapping[str, str]
    ) -> None:
        """The proxy asks for one observer a kind: lines where there were lines, and the same counts."""
        told = []
        for by_kind in (False, True):
            lines: list[bytes] = []
            exporter = factory(_context(option, lines))
            observers: dict[Kind, Callable[[Exchange], object]] = {}
            for number in [*range(20), *range(20)]:
                for one in (_ended(number), _connection(number)):
                    one.attempts = 1 + number % 3
                    if one.protocol == "tcp":
                        exporter.opened(one)
                    if by_kind:
                        if kind(one) not in observers:
                            observers[kind(one)] = exporter.observer(one)
                        observers[kind(one)](one)
                    else:
                        exporter.observe(one)
            told.append((bool(lines), _counts(exporter)))
        assert told[0] == told[1]

    def test_memory_is_bounded_whatever_arrives(self, exporter: Exporter, lines: list[bytes]) -> None:
        """Paths, hosts, clients, routes and backends that never come twice; a receiver that is away."""
        sizes = []
        for start in (0, 2 * self.bound):
            for number in range(start, start + 2 * self.bound):
                exporter.observe(_ended(number))
                connection = _connection(number)
                exporter.opened(connection)
                exporter.observe(connection)
                lines.clear()
            self._check_output(exporter, lines)
            sizes.append(reachable_bytes(exporter, [lines]))
        before, after = sizes
        assert after <= before * 1.2 + 20_000, f"from {before} to {after} bytes by {2 * self.bound} more exchanges"

    def test_two_exporters_know_nothing_of_each_other(
        self, factory: ExporterFactory, option: Mapping[str, str], lines: list[bytes]
    ) -> None:
        """No counters in the module: a second proxy in one process (a test, the lab) starts at nothing."""
        one = factory(_context(option, lines))
        for number in range(5):
            one.observe(_ended(number))
        counts = _counts(factory(_context(option, lines)))
        assert counts == dict.fromkeys(counts, 0.0)

    # --- its life ---------------------------------------------------------------------------------------------

    def test_its_task_can_be_cancelled_and_it_closes_in_time(self, exporter: Exporter) -> None:
        """Whether its receiver is there or not. A task that raises would be the exporter's end."""
        trio = pytest.importorskip("trio")

        async def life() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(exporter.run)
                for number in range(200):
                    exporter.observe(_ended(number))
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            with trio.move_on_after(CLOSING_SECONDS):  # as the proxy does; not answering in time is allowed
                await exporter.aclose()
            exporter.observe(_ended(1))  # a request that ends later still

        trio.run(life)

    def test_it_may_be_closed_without_having_run(self, exporter: Exporter) -> None:
        """A proxy that could not start."""
        trio = pytest.importorskip("trio")

        async def life() -> None:
            with trio.move_on_after(CLOSING_SECONDS):
                await exporter.aclose()

        trio.run(life)

    # --- how ------------------------------------------------------------------------------------------------------

    def _check_output(self, exporter: Exporter, lines: list[bytes]) -> None:
        page = exporter.collect()
        assert page is None or isinstance(page, bytes), f"collect() returned {type(page).__name__}; expected bytes"
        if page is not None:
            exposition.parse(page)
        for line in lines:
            assert isinstance(line, bytes)
            assert b"\n" not in line, f"two lines in one: {line!r}"
            assert b"\r" not in line, f"two lines in one: {line!r}"
            assert b"\x1b" not in line, f"a terminal's control sequence came through: {line!r}"


def _counts(exporter: Exporter) -> dict[str, float]:
    """What an exporter that has a page has counted itself: not the process's gauges, nor what it is told."""
    page = exporter.collect()
    series = {} if page is None else exposition.parse(page)
    return {name: value for name, value in series.items() if "_total" in name.split("{")[0] and "process_" not in name}


def _context(options: Mapping[str, str], lines: list[bytes]) -> ExporterContext:
    own: dict[str, Any] = {"tulle_proxy_accepted": 7.0, 'tulle_proxy_streams{direction="inbound"}': 2.5}
    return ExporterContext(
        pod="app-a-1", namespace="demo", workload="deployment/app-a", node="node-1", service_account="app-a",
        version="0.1.0", options=dict(options), counters=lambda: own, write_line=lines.append,
    )  # fmt: skip


def _ended(number: int) -> Exchange:
    one = samples.exchange(
        path=f"/{number}", authority=f"host-{number}", route=f"demo/route-{number}/0", backend=f"demo/app-{number}:80",
        source_identity=f"spiffe://cluster.local/ns/demo/sa/{number}", endpoint=samples.endpoint(number), attempts=1,
        status=200 + number % 300, answered=1000.1, ended=1000.2, request_bytes=number, response_bytes=number,
        reason=f"reason-{number}", method=f"M{number}",
    )  # fmt: skip
    one.source = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 40000)
    one.headers.set("user-agent", f"agent-{number}")
    return one


def _connection(number: int) -> Exchange:
    one = _ended(number)
    one.protocol, one.status, one.method, one.path, one.reason = "tcp", 0, "", "", ""
    return one
