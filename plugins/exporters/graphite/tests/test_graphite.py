"""What arrives at a listener on loopback, read as carbon reads it: three words a line, tags after semicolons."""

import re

import pytest
import trio
from tulle_exporter_graphite.exporter import Graphite
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load

APP_B = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
REPLICA = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
PATIENCE = 15


def exchange(**changes):
    made = Exchange()
    made.service, made.endpoint, made.route, made.backend = APP_B, REPLICA, "default/r/0", "default/app-b:80"
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.012
    made.request_bytes, made.response_bytes = 10, 1000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def exporter(port, counters=dict, **options):
    return Graphite(
        ExporterContext(
            pod="app-a-1", namespace="demo", workload="deployment/app-a",
            options={"address": f"127.0.0.1:{port}", **options}, counters=counters,
        )
    )  # fmt: skip


class Carbon:
    """Keeps the last value of each path, as carbon does within an interval."""

    def __init__(self, listener):
        self.listener, self.port = listener, listener.socket.getsockname()[1]
        self.stream, self.rest, self.values, self.times = None, b"", {}, set()

    async def read(self, until):
        """Read until a line's path begins with `until`."""
        while True:
            if self.stream is None:
                self.stream = await self.listener.accept()
            data = await self.stream.receive_some(1 << 20)
            assert data, "the exporter closed the connection"
            *lines, self.rest = (self.rest + data).split(b"\n")
            paths = [self.line(line.decode("ascii")) for line in lines]
            if any(path.startswith(until) for path in paths):
                return

    def line(self, line):
        path, value, at = line.split(" ")
        name, *tags = path.split(";")
        for tag in tags:
            key, _, tag_value = tag.partition("=")
            assert key, path
            assert tag_value, "carbon refuses tags without a value"
            assert not tag_value.startswith("~"), path
        self.values[name, frozenset(tags)] = float(value)
        self.times.add(int(at))
        return path

    def value(self, name, **tags):
        wanted = {f"{key}={value}" for key, value in tags.items()}
        found = [v for (path, has), v in self.values.items() if path == name and wanted <= has]
        assert found, (name, tags, list(self.values))
        return sum(found)


def with_carbon(test):
    async def run():
        with trio.fail_after(PATIENCE):
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            async with listener:
                carbon = Carbon(listener)
                await test(carbon)
                if carbon.stream is not None:
                    await carbon.stream.aclose()

    trio.run(run)


LAST = "tulle.proxy.last"


def last():
    return {"tulle_proxy_last": 1.0}


def test_it_is_installed_and_imported_only_when_configured():
    assert isinstance(load().exporters["graphite"](ExporterContext()), Graphite)


def test_totals_with_tags():
    async def test(carbon):
        sending = exporter(carbon.port, last)
        for status in (200, 200, 503):
            sending.observe(exchange(status=status))
        assert await sending.attempt()
        await carbon.read(LAST)
        assert carbon.value("tulle.http.requests") == 3
        assert carbon.value("tulle.http.requests", status="503", service="app-b", backend="default/app-b:80") == 1
        assert carbon.value("tulle.http.requests", pod="app-a-1", namespace="demo") == 3
        assert carbon.value("tulle.http.duration_seconds") == pytest.approx(0.036)
        assert 0.01 < carbon.value("tulle.http.duration_p99_seconds") <= 0.015
        sending.observe(exchange())
        await sending.aclose()
        await carbon.read(LAST)
        assert carbon.value("tulle.http.requests") == 4, "totals, not what was added"
        assert sending.counters()["sent_total"] > 10
        assert sending.counters()["dropped_total"] == 0

    with_carbon(test)


def test_without_tags_labels_are_nodes():
    async def test(carbon):
        sending = exporter(carbon.port, last, tags="none", prefix="mesh.eu")
        sending.observe(exchange(status=503, reason="no-endpoints", route=""))
        assert await sending.attempt()
        await carbon.read("mesh.eu.proxy.last")
        path = (
            "mesh.eu.http.requests.demo.deployment_app-a.app-a-1"
            ".outbound.app-b.default.-.default_app-b_80.default.deployment_app-b.false.503.no-endpoints"
        )
        assert carbon.value(path) == 1

    with_carbon(test)


def test_names_from_outside_cannot_forge_a_line_or_a_tag():
    async def test(carbon):
        sending = exporter(carbon.port, last)
        sending.observe(exchange(route="~a;pod=x b\ntulle.forged 1 1\n"))
        assert await sending.attempt()
        await carbon.read(LAST)
        assert carbon.value("tulle.http.requests", pod="app-a-1") == 1
        assert not [name for name, _ in carbon.values if "forged" in name]

    with_carbon(test)


def test_a_receiver_that_is_away_costs_resolution_not_counts():
    async def test(carbon):
        await carbon.listener.aclose()
        sending = exporter(carbon.port, last)
        for _ in range(3):
            sending.observe(exchange())
            assert not await sending.attempt()
        assert sending.counters()["send_failures_total"] == 3
        assert sending.counters()["dropped_total"] > 0
        (listener,) = await trio.open_tcp_listeners(carbon.port, host="127.0.0.1")
        async with listener:
            back = Carbon(listener)
            assert await sending.attempt()
            await back.read(LAST)
            assert back.value("tulle.http.requests") == 3
            await back.stream.aclose()
        await sending.aclose()

    with_carbon(test)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"address": "2003"}, "address: expected host:port, such as localhost:2003, got '2003'"),
        ({"tags": "dogstatsd"}, "tags: expected one of graphite, none, got 'dogstatsd'"),
        ({"pefix": "a"}, "unknown option 'pefix'; did you mean 'prefix'?"),
    ],
)
def test_bad_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        Graphite(ExporterContext(options=options))
