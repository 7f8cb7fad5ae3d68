"""Observers: told of everything, and none of them can harm the rest."""

import logging

import pytest
import trio
from tulle_data_plane.host import MAX_COUNTERS, MAX_KINDS, MAX_OBSERVER_FAILURES
from tulle_plugin_api import Address, Exchange, Exporter, PluginInfo
from tulle_testkit import echo_upstream, http_upstream

pytestmark = pytest.mark.trio


class Raising(Exporter):
    """Raises at `observe`, and where asked at `opened`."""

    def __init__(self, error, where=("observe", "opened")):
        self.error, self.where, self.calls = error, where, 0

    def observe(self, exchange):
        self._maybe("observe")

    def opened(self, exchange):
        self._maybe("opened")

    def _maybe(self, what):
        if what in self.where:
            self.calls += 1
            raise self.error


class Panic(BaseException):
    """As a panic in Rust arrives in Python."""


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), Panic()], ids=repr)
async def test_an_exporter_that_raises_harms_nobody_and_is_disabled_in_the_end(mesh, harness, error, caplog):
    async with mesh() as m, http_upstream() as app:
        bad = Raising(error)
        m.host.add_exporter("bad", bad)
        last = harness.Seen()
        m.host.add_exporter("last", last)  # told after the bad one
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            for _ in range(MAX_OBSERVER_FAILURES + 20):
                assert (await client.get()).status == 200
        assert len(m.seen.ended) == len(last.ended) == MAX_OBSERVER_FAILURES + 20
        assert bad.calls == MAX_OBSERVER_FAILURES
        assert m.counter("exporter_failures_total") == MAX_OBSERVER_FAILURES
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert told == ["plugin disabled"], "said once, not once a request"
        assert caplog.text.count("plugin exporter-bad raised") == 1
        assert m.host.faults.describe()[0]["state"] == "disabled"


async def test_failures_at_either_end_of_a_connection_count_together(mesh, harness):
    async with mesh() as m:
        bad = Raising(ValueError("x"))
        m.host.add_exporter("bad", bad)
        for _ in range(MAX_OBSERVER_FAILURES):
            m.host.opened(Exchange())
            m.host.ended(Exchange())
        assert bad.calls == MAX_OBSERVER_FAILURES


class OfKinds(Raising):
    """Counts which kinds it is asked for, and what their observers are told."""

    def __init__(self, error=None):
        super().__init__(error)
        self.asked, self.told, self.plain = [], [], []

    def observe(self, exchange):
        self.plain.append(exchange)

    def observer(self, like):
        self.asked.append(like)
        if self.error:
            raise self.error
        return lambda exchange: self.told.append((like, exchange))


async def test_an_observer_is_asked_for_once_a_kind(mesh, harness):
    async with mesh() as m:
        exporter = OfKinds()
        m.host.add_exporter("kinds", exporter)
        good, bad = [Exchange() for _ in range(3)], [Exchange() for _ in range(2)]
        for one in bad:
            one.status = 503
        for one in (*good, *bad):
            m.host.ended(one)
        assert exporter.asked == [good[0], bad[0]]
        assert exporter.told == [(good[0], one) for one in good] + [(bad[0], one) for one in bad]
        assert not exporter.plain


async def test_kinds_that_never_come_twice_are_forgotten(mesh, harness):
    async with mesh() as m:
        for number in range(3 * MAX_KINDS):
            exchange = Exchange()
            exchange.route = f"default/route/{number}"
            m.host.ended(exchange)
            assert len(m.host._kinds) <= MAX_KINDS
        assert len(m.seen.ended) == 3 * MAX_KINDS


async def test_who_cannot_say_how_is_told_as_of_any_and_it_counts_as_a_failure(mesh, harness):
    async with mesh() as m:
        exporter = OfKinds(ValueError("x"))
        m.host.add_exporter("kinds", exporter)
        for _ in range(3):
            m.host.ended(Exchange())
        assert len(exporter.plain) == 3
        assert len(exporter.asked) == 1
        assert m.counter("exporter_failures_total") == 1


async def test_who_never_can_say_how_is_disabled(mesh, harness):
    async with mesh() as m:
        exporter = OfKinds(ValueError("x"))
        m.host.add_exporter("kinds", exporter)
        for number in range(MAX_OBSERVER_FAILURES + 20):
            exchange = Exchange()
            exchange.route = f"default/route/{number}"
            for _ in range(2):
                m.host.ended(exchange)
        assert len(exporter.asked) == MAX_OBSERVER_FAILURES
        assert len(exporter.plain) == 2 * (MAX_OBSERVER_FAILURES - 1)


async def test_a_keyboard_interrupt_is_not_an_exporters_failure(mesh, harness):
    async with mesh() as m:
        m.host.add_exporter("bad", Raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            m.host.ended(Exchange())


async def test_only_who_wants_to_hear_of_openings_does(mesh, harness):
    class Plain(Exporter):
        def observe(self, exchange):
            pass

    async with mesh() as m, echo_upstream() as app:
        before = len(m.host._openers)
        m.host.add_exporter("plain", Plain())
        assert len(m.host._openers) == before
        async with await m.dial(Address("127.0.0.1", app.port)) as stream:
            await stream.send_all(b"\x00")
            await stream.receive_some(1)
            assert len(m.seen.begun) == 1
            assert m.seen.ended == []
        await m.settled()
        assert m.seen.ended == m.seen.begun


async def test_counters_are_named_and_added(mesh, harness):
    async with mesh() as m:
        m.host.count("things_total")
        m.host.count("things_total", 2.5)
        m.host.count("things_total", reason="late")
        found = m.proxy.counters()
        assert found["tulle_proxy_things_total"] == 3.5
        assert found['tulle_proxy_things_total{reason="late"}'] == 1


async def test_there_is_a_bound_to_what_policies_can_count(mesh, harness):
    async with mesh() as m:
        for number in range(MAX_COUNTERS + 10):
            m.host.count("paths_total", path=f"/{number}")
        assert len(m.host.counters) == MAX_COUNTERS + 1
        assert m.counter("counters_overflow_total") >= 10
        m.host.count("paths_total", path="/0")
        assert m.host.counters['tulle_proxy_paths_total{path="/0"}'] == 2


# --- exporters of the proxy ----------------------------------------------------------------------------------------


class Pushing(Exporter):
    """Has a task and says goodbye."""

    def __init__(self, context, run=None, close=None):
        self.context, self._run, self._close = context, run, close
        self.running = self.closed = False

    def observe(self, exchange):
        pass

    async def run(self):
        self.running = True
        try:
            if self._run is not None:
                raise self._run
            await trio.sleep_forever()
        finally:
            self.running = False

    async def aclose(self):
        self.closed = True
        if self._close is not None:
            await self._close()


async def test_an_exporters_task_runs_as_long_as_the_proxy_and_is_closed_after_the_last_request(mesh, harness):
    made = []

    def factory(context):
        made.append(Pushing(context))
        return made[-1]

    plugins = harness.plugins(exporters={"push": factory})
    async with mesh(plugins, exporters=("push",), exporter_options={"push": {"to": "there"}}) as m:
        (exporter,) = made
        assert exporter.running
        assert not exporter.closed
        context = exporter.context
        assert (context.pod, dict(context.options)) == ("app-a-1", {"to": "there"})
        assert "tulle_proxy_tasks" in context.counters()
        assert m.proxy.exporters == {"push": exporter}
    assert exporter.closed
    assert not exporter.running


async def test_an_exporters_own_counters_are_among_the_proxys_and_cannot_break_them(mesh, harness):
    class Counting(Pushing):
        def counters(self):
            return {"dropped_total": 3}

    class Broken(Pushing):
        def counters(self):
            raise ValueError("x")

    plugins = harness.plugins(exporters={"counting": Counting, "broken": Broken, "none": Pushing})
    async with mesh(plugins, exporters=("counting", "broken", "none")) as m:
        found = {name: value for name, value in m.proxy.counters().items() if "exporter" in name}
        assert found == {'tulle_proxy_exporter_dropped_total{exporter="counting"}': 3}
        assert m.counter("exporter_failures_total") == 1


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), Panic()], ids=repr)
@pytest.mark.parametrize("where", ["run", "close"])
async def test_an_exporter_that_breaks_does_not_take_others_along(mesh, harness, error, where):
    made = []

    async def raise_it():
        raise error

    def bad(context):
        made.append(Pushing(context, run=error) if where == "run" else Pushing(context, close=raise_it))
        return made[-1]

    def good(context):
        made.append(Pushing(context))
        return made[-1]

    plugins = harness.plugins(exporters={"bad": bad, "good": good})
    async with mesh(plugins, exporters=("bad", "good")) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            assert (await client.get()).status == 200
    assert [exporter.closed for exporter in made] == [True, True]


async def test_an_exporter_that_never_finishes_closing_is_left(mesh, harness, autojump_clock):
    plugins = harness.plugins(exporters={"slow": lambda context: Pushing(context, close=trio.sleep_forever)})
    async with mesh(plugins, exporters=("slow",)):
        pass  # that this ends is the test


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("no",), "TULLE_EXPORTERS: no exporter plugin 'no' is installed; there are \\['access-log', 'ok'\\]"),
        (("ok", "access-log"), "TULLE_EXPORTER_ACCESS_LOG_\\*: exporter access-log: format: expected json"),
    ],
)
async def test_what_is_wrong_with_an_exporter_is_named_with_its_variable(harness, names, says):
    def picky(context):
        raise ValueError("format: expected json")

    plugins = harness.plugins(exporters={"ok": Pushing, "access-log": picky})
    with pytest.raises(harness.BadSettings, match=says):
        harness.Proxy(harness.settings(exporters=names), plugins)


class Rude(Exporter):
    """Gives nonsense to whoever asks."""

    def __init__(self, collected=None, counted=None):
        self.collected, self.counted = collected, {} if counted is None else counted

    def observe(self, exchange):
        pass

    def collect(self):
        if isinstance(self.collected, BaseException):
            raise self.collected
        return self.collected

    def counters(self):
        return self.counted


def explodes(context):
    raise TypeError("nothing about settings")


@pytest.mark.parametrize(
    ("factory", "what"),
    [
        (explodes, "TypeError: nothing about settings"),
        (lambda context: None, "its factory gave NoneType, not a tulle_plugin_api.Exporter"),
        (lambda context: Rude("text"), "collect gave str, not bytes or None"),
        (lambda context: Rude(Panic()), "Panic"),
        (lambda context: Rude(b"", {"x_total": "many"}), "could not convert string to float"),
        (lambda context: Rude(b"", 3), "'int' object has no attribute 'items'"),
    ],
)
async def test_the_proxy_runs_on_whatever_an_exporter_does(mesh, harness, factory, what):
    plugins = harness.plugins(exporters={"rude": factory, "good": lambda context: Rude(b"good_total 1\n")})
    async with mesh(plugins, exporters=("rude", "good")) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            assert (await client.get()).status == 200
        async with m.admin() as admin:
            page = await admin.get("/metrics")
            assert (page.status, page.body) == (200, b"good_total 1\n")
        m.proxy.counters()
        (row,) = m.host.faults.describe()
        assert row["plugin"] == "exporter-rude"
        assert what in row["error"]


async def test_a_proxy_runs_without_an_exporter_that_does_not_load(harness):
    plugins = harness.plugins(exporters={"good": lambda context: Rude(b"")})
    plugins.infos.append(PluginInfo("exporter-broken", "1", "acme", error="ImportError: no such thing"))
    proxy = harness.Proxy(harness.settings(exporters=("broken", "good")), plugins)
    assert list(proxy.exporters) == ["good"]
    (row,) = proxy.host.faults.describe()
    assert (row["plugin"], row["state"]) == ("exporter-broken", "failed")
    assert "ImportError: no such thing" in row["error"]
    assert proxy.host.counters['tulle_proxy_plugin_failures_total{plugin="exporter-broken",what="load"}'] == 1
    proxy.driver.close()
