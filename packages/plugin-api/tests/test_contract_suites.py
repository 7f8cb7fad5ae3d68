"""The contract suites find what they say they find: each way to break the contract fails the test that is named for it.

One pytest run for each kind of plugin, over a module full of broken ones, installed as pip would install it.
"""

import os
import re
import subprocess
import sys

import pytest
from tulle_plugin_api.contract import NotOnTheFastPath, SteppingRuntime
from tulle_plugin_api.contract.exposition import parse
from tulle_plugin_api.contract.stepping import NeverEnds
from tulle_plugin_api.contract.watch import watched
from tulle_plugin_api.errors import TimedOut

HEAD = """
import asyncio, collections, random, socket, threading, time
from tulle_plugin_api import *

registry = {}
def broken(kind):
    registry[kind.__name__.lower()] = kind
    return kind
"""

BALANCERS = """
class Base(Balancer):
    def __init__(self, config, runtime):
        if config:
            raise ValueError(f"no {list(config)}")
        self.random, self.runtime = runtime.random, runtime
    def pick(self, endpoints, exchange):
        usable = [e for e in endpoints if e.weight] or endpoints
        return usable[int(self.random.random() * len(usable))]

@broken
class Good(Base): pass

@broken
class Lenient(Base):
    def __init__(self, config, runtime): super().__init__({}, runtime)

@broken
class Remembers(Base):
    def pick(self, endpoints, exchange):
        self.first = getattr(self, "first", None) or endpoints[0]
        return self.first

@broken
class Weightless(Base):
    def pick(self, endpoints, exchange): return endpoints[int(self.random.random() * len(endpoints))]

@broken
class Leaks(Base):
    def started(self, endpoint): self.__dict__.setdefault("counts", {}).setdefault(endpoint, 0)

@broken
class Sorts(Base):
    def pick(self, endpoints, exchange):
        if isinstance(endpoints, list): endpoints.sort(key=lambda e: e.pod, reverse=True)
        return super().pick(endpoints, exchange)

@broken
class Asks(Base):
    def pick(self, endpoints, exchange):
        socket.getaddrinfo("127.0.0.1", 80)
        return super().pick(endpoints, exchange)

@broken
class Path(Base):
    def pick(self, endpoints, exchange):
        exchange.headers.get("host").lower()
        return super().pick(endpoints, exchange)

@broken
class Clock(Base):
    def pick(self, endpoints, exchange):
        usable = [e for e in endpoints if e.weight] or endpoints
        return usable[int(time.monotonic() * 1000) % len(usable)]

@broken
class Dice(Base):
    def pick(self, endpoints, exchange): return random.choice([e for e in endpoints if e.weight] or endpoints)

@broken
class Strict(Base):
    def __init__(self, config, runtime):
        super().__init__(config, runtime)
        self.busy = {}
    def started(self, endpoint): self.busy = {endpoint: 1}
    def finished(self, endpoint, seconds, failed): del self.busy[endpoint]

@broken
class Divides(Base):
    def finished(self, endpoint, seconds, failed): self.rate = 1 / seconds

@broken
class Shares(Base):
    turns = collections.Counter()
    def pick(self, endpoints, exchange):
        usable = [e for e in endpoints if e.weight] or endpoints
        self.turns["next"] += 1
        return usable[self.turns["next"] % len(usable)]

@hookimpl
def tulle_balancers(): return registry
"""

POLICIES = """
class Settings(Config):
    "Two settings."
    number: int = 1

class Base(Policy[Settings]):
    config, uses_trio = Settings, False
    def build(self, config, next, runtime): return next
    def handler(function):
        def build(self, config, next, runtime):
            async def handle(exchange): return await function(exchange, next, runtime)
            return handle
        return build

@broken
class Good(Base): pass

@broken
class TrioGood(Base):
    uses_trio = True
    async def handle(exchange, next, runtime):
        import trio
        await trio.sleep(1)
        return await next(exchange)
    build = Base.handler(handle)

@broken
class Sleeps(Base):
    async def handle(exchange, next, runtime):
        import trio
        await trio.lowlevel.cancel_shielded_checkpoint()
        return await next(exchange)
    build = Base.handler(handle)

@broken
class SleepsInSecret(Base):
    async def handle(exchange, next, runtime):
        import trio
        try:
            await trio.lowlevel.cancel_shielded_checkpoint()
        except Exception:
            pass
        return await next(exchange)
    build = Base.handler(handle)

@broken
class Asyncio(Base):
    async def handle(exchange, next, runtime):
        await asyncio.sleep(0)
        return await next(exchange)
    build = Base.handler(handle)

class Loose(Config, forbid_unknown_fields=False):
    "Anything goes."
    number: int = 1

@broken
class Lenient(Base): config = Loose

@broken
class Crashes(Base):
    def check(self, config): return [] if 10 / config.number else []

@broken
class Connects(Base):
    def build(self, config, next, runtime):
        with socket.socket() as sock: sock.connect_ex(("127.0.0.1", 1))
        return next

@broken
class Edits(Base):
    def build(self, config, next, runtime):
        config.number += 1
        return next

@broken
class Counts(Base):
    seen = 0
    async def handle(exchange, next, runtime):
        Counts.seen += 1
        if Counts.seen > 30: raise Refused(429, "rate-limited")
        return await next(exchange)
    build = Base.handler(handle)

@broken
class Forgets(Base):
    async def handle(exchange, next, runtime): await next(exchange)
    build = Base.handler(handle)

@broken
class Status(Base):
    async def handle(exchange, next, runtime): return Response("200")
    build = Base.handler(handle)

@broken
class Breaks(Base):
    async def handle(exchange, next, runtime):
        exchange.headers.get("host").lower()
        return await next(exchange)
    build = Base.handler(handle)

@broken
class Refuses(Base):
    async def handle(exchange, next, runtime): raise Refused(200, "Not A Slug")
    build = Base.handler(handle)

@broken
class Drops(Base):
    async def handle(exchange, next, runtime):
        response = await next(exchange)
        if response.status == 503: response = await next(exchange)
        return response
    build = Base.handler(handle)

@broken
class Swallows(Base):
    async def handle(exchange, next, runtime):
        try: return await next(exchange)
        except BaseException: return Response(200)
    build = Base.handler(handle)

@broken
class Mixes(Base):
    def build(self, config, next, runtime):
        async def handle(exchange):
            self.exchange = exchange
            await runtime.sleep(0.05)
            return await next(self.exchange)
        return handle

@broken
class Remembers(Base):
    def build(self, config, next, runtime):
        seen = set()
        async def handle(exchange):
            seen.add(exchange.source)
            return await next(exchange)
        return handle

@hookimpl
def tulle_policies(): return {name: kind() for name, kind in registry.items()}
"""

EXPORTERS = """
class Base(Exporter):
    def __init__(self, context):
        if context.options: raise ValueError(f"no {list(context.options)}")
        self.context, self.count = context, 0
    def observe(self, exchange): self.count += 1

@broken
class Good(Base):
    def collect(self): return f"# TYPE good_total counter\\ngood_total {self.count}\\n".encode()

@broken
class Lenient(Base):
    def __init__(self, context): self.count = 0

@broken
class Assumes(Base):
    def observe(self, exchange): exchange.endpoint.address

@broken
class Forged(Base):
    def observe(self, exchange): self.context.write_line(f"{exchange.route}{exchange.reason}".encode())

@broken
class Page(Base):
    def __init__(self, context):
        super().__init__(context)
        self.routes = {}
    def observe(self, exchange): self.routes = {exchange.route: 1}
    def collect(self): return b"".join(f'x{{route="{route}"}} 1\\n'.encode() for route in self.routes)

@broken
class Series(Base):
    def __init__(self, context):
        super().__init__(context)
        self.paths = {}
    def observe(self, exchange): self.paths[exchange.path] = 1

@broken
class Queue(Base):
    def __init__(self, context):
        super().__init__(context)
        self.queue = []
    def observe(self, exchange): self.queue.append(exchange.path)

@broken
class Open(Base):
    def __init__(self, context):
        super().__init__(context)
        self.open = {}
    def opened(self, exchange): self.open[id(exchange)] = exchange
    def observe(self, exchange):
        if exchange.protocol == "tcp": del self.open[id(exchange)]

@broken
class Notes(Base):
    def observe(self, exchange): exchange.attributes["notes"] = 1

@broken
class Raises(Base):
    async def run(self): raise RuntimeError("no receiver")

total = collections.Counter()
@broken
class Global(Base):
    def observe(self, exchange): total["global_total"] += 1
    def collect(self): return b"".join(f"{name} {value}\\n".encode() for name, value in total.items())

@hookimpl
def tulle_exporters(): return registry
"""

CATALOGS = """
OBJECT = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"}}

class Base(Catalog):
    def __init__(self, environment):
        if "TULLE_SOURCE" not in environment: raise ValueError("TULLE_SOURCE is not set")
    async def events(self):
        for obj in self.objects(): yield Upserted(obj)
        yield Synced()
        await asyncio.Event().wait()
    def objects(self): return [OBJECT]

@broken
class Good(Base): pass

@broken
class Keys(Base):
    def __init__(self, environment): environment["TULLE_SOURCE"]

@broken
class Shapeless(Base):
    def objects(self): return [{"kind": "Service"}]

@broken
class Once(Base):
    async def events(self):
        yield Upserted(OBJECT)
        yield Synced()

@broken
class Drained(Base):
    left = None
    def objects(self):
        self.left = [OBJECT] if self.left is None else []
        return self.left

@hookimpl
def tulle_catalogs(): return registry
"""

ANY = "test_any_request_ends_with_what_can_be_sent"

EXPECTED = {
    "Balancer": (BALANCERS, {
        "Good": set(),
        "Lenient": {"test_an_unknown_setting_is_refused_by_its_name"},
        "Remembers": {"test_endpoints_may_change_before_every_pick", "test_weight_zero_means_no_traffic"},
        "Weightless": {"test_weight_zero_means_no_traffic"},
        "Leaks": {"test_what_has_left_is_forgotten"},
        "Sorts": {"test_one_of_the_given_is_picked_for_any_request"},
        "Asks": {"test_picking_is_computing"},
        "Path": {"test_the_only_endpoint_is_picked", "test_a_relayed_connection_is_balanced_too"},
        "Clock": {"test_chance_and_time_are_the_runtimes"},
        "Dice": {"test_chance_and_time_are_the_runtimes"},
        "Strict": {"test_feedback_may_be_about_what_has_left"},
        "Divides": {"test_tries_of_any_length"},
        "Shares": {"test_two_backends_know_nothing_of_each_other"},
    }),
    "Policy": (POLICIES, {
        "Good": set(),
        "TrioGood": set(),
        "Sleeps": {ANY, "test_on_the_fast_path_it_needs_no_trio"},
        "SleepsInSecret": {ANY, "test_on_the_fast_path_it_needs_no_trio"},
        "Asyncio": {ANY, "test_on_the_fast_path_it_needs_no_trio"},
        "Lenient": {"test_an_unknown_field_is_refused_with_its_path", "test_it_has_a_json_schema"},
        "Crashes": {"test_what_is_not_of_the_right_type_is_refused_in_words"},
        "Connects": {"test_build_is_pure"},
        "Edits": {"test_build_is_pure"},
        "Counts": {"test_handlers_share_nothing"},
        "Forgets": {ANY},
        "Status": {ANY},
        "Breaks": {ANY},
        "Refuses": {ANY},
        "Drops": {ANY},
        "Swallows": {"test_an_interruption_passes_through"},
        "Mixes": {"test_requests_at_one_time_are_not_mixed_up"},
        "Remembers": {"test_it_remembers_a_bounded_number_of_clients"},
    }),
    "Exporter": (EXPORTERS, {
        "Good": set(),
        "Lenient": {"test_an_unknown_option_is_refused_by_its_name"},
        "Assumes": {"test_any_exchange_is_observed"},
        "Forged": {"test_any_exchange_is_observed"},
        "Page": {"test_any_exchange_is_observed"},
        "Series": {"test_memory_is_bounded_whatever_arrives"},
        "Queue": {"test_memory_is_bounded_whatever_arrives"},
        "Open": {"test_a_close_without_an_open_and_an_open_without_a_close"},
        "Notes": {"test_an_exchange_is_read_when_it_is_observed"},
        "Raises": {"test_its_task_can_be_cancelled_and_it_closes_in_time"},
        "Global": {"test_two_exporters_know_nothing_of_each_other"},
    }),
    "Catalog": (CATALOGS, {
        "Good": set(),
        "Keys": {"test_without_its_variables_it_says_which"},
        "Shapeless": {"test_everything_then_synced"},
        "Once": {"test_it_goes_on_after_synced"},
        "Drained": {"test_told_anew_to_each_listener"},
    }),
}  # fmt: skip


@pytest.mark.timeout(700)  # some 10 s of computing, which a machine that builds images beside it may stretch
@pytest.mark.parametrize("kind", EXPECTED)
def test_each_breach_fails_the_test_that_is_named_for_it(kind, tmp_path):
    code, expected = EXPECTED[kind]
    (tmp_path / "misbehaving.py").write_text(HEAD + code)
    info = tmp_path / "misbehaving-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[tulle]\nmisbehaving = misbehaving\n")
    lines = [f"from tulle_plugin_api.contract import {kind}Contract"]
    for name in expected:
        lines += [f"class Test{name}({kind}Contract):", f"    plugin = {name.lower()!r}"]
        if kind in ("Policy", "Exporter"):
            lines += ["    bound = 400"]
        if kind == "Catalog":
            lines += ["    def environment(self, folder): return {'TULLE_SOURCE': 'x'}"]
    (tmp_path / "test_misbehaving.py").write_text("\n".join(lines))
    words = ["-q", "-rf", "--tb=short", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=120"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, "test_misbehaving.py"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "300"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"still at work after 600 s:\n{(error.stdout or b'').decode()[-5000:]}")
    failed = set(re.findall(r"^FAILED .*::Test(\w+)::(\w+)", done.stdout, re.M))
    assert "ERROR" not in done.stdout, done.stdout
    assert re.search(r"\d+ passed", done.stdout), done.stdout
    for name, tests in expected.items():
        found = {test for who, test in failed if who == name}
        assert found >= tests, f"{name}: {tests - found} passed\n{done.stdout[-5000:]}"
        if not tests:
            assert not found, f"{name} is good, and failed {found}\n{done.stdout[-5000:]}"


def test_the_package_itself_does_not_import_pytest():
    code = "import sys, tulle_plugin_api; sys.exit(not {'pytest', 'tulle_plugin_api.contract'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the stepping runtime -----------------------------------------------------------------------------------------


def test_sleeping_moves_virtual_time():
    async def story():
        await runtime.sleep(86_400)
        return runtime.now()

    runtime = SteppingRuntime()
    assert runtime.run(story()) == 1000 + 86_400


def test_several_run_as_their_waits_end():
    told = []

    async def one(seconds):
        await runtime.sleep(seconds)
        told.append(seconds)

    runtime = SteppingRuntime()
    runtime.run_all([one(3), one(1), one(2)])
    assert told == [1, 2, 3]


def test_a_timeout_interrupts_at_its_time_and_the_outer_one_wins():
    async def story():
        try:
            with runtime.timeout(1, TimedOut("outer")):
                try:
                    with runtime.timeout(2, "inner"):
                        await runtime.sleep(9)
                finally:
                    told.append(runtime.now())
        except TimedOut as error:
            told.append(error.detail)
        with pytest.raises(TimedOut, match="inner"), runtime.timeout(5, "outer"), runtime.timeout(2, "inner"):
            await runtime.sleep(9)
        with runtime.timeout(2):
            await runtime.sleep(1)

    runtime, told = SteppingRuntime(), []
    runtime.run(story())
    assert told == [1001.0, "outer"]


def test_a_strange_wait_is_refused_even_if_it_is_caught():
    async def story():
        try:
            await _strange()
        except BaseException:
            return "fine"

    class _Strange:
        def __await__(self):
            yield "a trio trap"

    async def _strange():
        await _Strange()

    with pytest.raises(NotOnTheFastPath, match=r"awaited 'a trio trap'.*uses_trio = True"):
        SteppingRuntime().run(story())


def test_an_event_wakes_who_waits_for_it_and_a_timeout_ends_the_wait():
    async def waits():
        await event.wait()
        told.append(("woken", runtime.now()))
        await event.wait()

    async def gives_up():
        with pytest.raises(TimedOut), runtime.timeout(1):
            await event.wait()
        told.append(("gave up", runtime.now()))

    async def sets():
        await runtime.sleep(2)
        event.set()

    runtime, told = SteppingRuntime(), []
    event = runtime.event()
    assert [strand.error for strand in runtime.run_all([waits(), gives_up(), sets()])] == [None] * 3
    assert told == [("gave up", 1001.0), ("woken", 1002.0)]


def test_an_event_that_nobody_sets_is_found_out():
    runtime = SteppingRuntime()
    with pytest.raises(NeverEnds, match="an event that nobody will set"):
        runtime.run(runtime.event().wait())


def test_what_is_spawned_runs_beside_and_its_errors_are_its_own():
    async def beside(number):
        await runtime.sleep(number)
        told.append((number, runtime.now()))
        raise KeyError

    async def story():
        runtime.spawn(beside, 5)
        told.append(("answered", runtime.now()))
        return "done"

    runtime, told = SteppingRuntime(), []
    assert runtime.run(story()) == "done"
    assert told == [("answered", 1000.0), (5, 1005.0)]
    assert runtime.counters == {"policy_background_failures_total": 1}


def test_reading_a_file_is_seen_and_importing_is_not(tmp_path):
    (tmp_path / "data").write_text("x")
    with watched() as happened:
        (tmp_path / "data").read_text()
    assert happened == [f"open {tmp_path / 'data'}"]
    with open(tmp_path / "data") as file, watched() as happened:
        with open(file.fileno(), closefd=False) as again:
            again.read()
        import colorsys
    assert (happened, bool(colorsys)) == ([], True)


def test_waiting_outside_a_handler_is_refused():
    with pytest.raises(RuntimeError, match="only a handler can wait"), SteppingRuntime().timeout(1):
        pass


# --- the exposition format ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        b"x 1",
        b"x 1\nx 2\n",
        b'x{a="b" 1\n',
        b'x{a="\n"} 1\n',
        b"x one\n",
        b"1x 1\n",
        b"# TYPE x thing\nx 1\n",
        b"# TYPE x counter\n# TYPE x counter\nx 1\n",
        b"x 1\ny 1\nx{a=\"b\"} 1\n",
    ],
)
def test_pages_that_no_scraper_takes(page):
    with pytest.raises((AssertionError, ValueError)):
        parse(page)


def test_a_page_that_scrapers_take():
    page = b'# HELP x what it is\n# TYPE x histogram\nx_bucket{le="+Inf"} 2\nx_sum 1.5\nx_count 2\n'
    page += b'# TYPE y gauge\ny{a="\\"\\n\\\\"} +Inf\n'
    assert parse(page) == {'x_bucket{le="+Inf"}': 2, "x_sum": 1.5, "x_count": 2, 'y{a="\\"\\n\\\\"}': float("inf")}
