"""What leaves, read back by a parser of the protocol that shares nothing with the exporter but the documentation."""

import re
import socket
from collections import defaultdict

import pytest
import trio
from tulle_exporter_statsd.exporter import Statsd
from tulle_exporter_statsd.lines import Line, datagrams
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load

APP_B = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
REPLICA = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
LINE = re.compile(r"(?P<name>[^:|#\n]+):(?P<values>[^|#\n]+)\|(?P<type>c|g|ms)(\|@(?P<rate>[\d.]+))?(\|#(?P<tags>.+))?")


def exchange(**changes):
    made = Exchange()
    made.service, made.endpoint, made.route, made.backend = APP_B, REPLICA, "default/r/0", "default/app-b:80"
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.0125
    made.request_bytes, made.response_bytes = 10, 1000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class Server:
    """Receives on loopback and adds up as a server would."""

    def __init__(self, port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.counters, self.gauges, self.timings = defaultdict(float), {}, defaultdict(list)
        self.sizes, self.tags = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self):
        while True:
            try:
                datagram = self.socket.recv(65536).decode()
            except BlockingIOError:
                return self
            self.sizes.append(len(datagram))
            for text in datagram.split("\n"):
                self.line(text)

    def line(self, text):
        match = LINE.fullmatch(text)
        assert match, text
        name, kind = match["name"], match["type"]
        tags = dict(tag.split(":", 1) for tag in match["tags"].split(",")) if match["tags"] else {}
        self.tags.append(tags)
        for value in map(float, match["values"].split(":")):
            if kind == "c":
                assert value > 0
                self.counters[name] += value
                for tag in tags.items():
                    self.counters[name, *tag] += value
            elif kind == "g":
                self.gauges[name, *sorted(tags.items())] = value
            else:
                self.timings[name].append((value, float(match["rate"] or 1)))


def exporter(server_or_address, counters=dict, **options):
    address = server_or_address if isinstance(server_or_address, str) else f"127.0.0.1:{server_or_address.port}"
    context = ExporterContext(
        pod="app-a-1", namespace="demo", workload="deployment/app-a",
        options={"address": address, **options}, counters=counters,
    )  # fmt: skip
    return Statsd(context)


def test_it_is_installed_and_imported_only_when_configured():
    assert isinstance(load().exporters["statsd"](ExporterContext()), Statsd)


def test_counters_are_what_was_added_since_the_last_time():
    async def test():
        with Server() as server:
            sending = exporter(server)
            for status in (200, 200, 503):
                sending.observe(exchange(status=status))
            assert await sending.attempt()
            counters = server.read().counters
            assert counters["tulle.http.requests"] == 3
            assert counters["tulle.http.requests", "status", "503"] == 1
            assert counters["tulle.http.requests", "service", "app-b"] == 3
            assert counters["tulle.http.requests", "backend", "default/app-b:80"] == 3
            assert counters["tulle.http.requests", "workload", "deployment/app-a"] == 3
            assert counters["tulle.http.response_bytes"] == 3000
            assert await sending.attempt()
            assert server.read().counters["tulle.http.requests"] == 3, "nothing new was nothing to tell"
            sending.observe(exchange())
            await sending.aclose()
            assert server.read().counters["tulle.http.requests"] == 4

    trio.run(test)


@pytest.mark.parametrize("values", ["1", "50"])
def test_timings_are_milliseconds_of_each_request(values):
    async def test():
        with Server() as server:
            sending = exporter(server, values=values)
            for millis in range(120):
                sending.observe(exchange(ended=100.0 + millis / 1000))
            assert await sending.attempt()
            found = server.read().timings["tulle.http.request_duration"]
            assert [round(value, 3) for value, rate in found] == list(range(120))
            assert {rate for value, rate in found} == {1}

    trio.run(test)


def test_a_sample_says_of_how_many_it_is_one():
    async def test():
        with Server() as server:
            sending = exporter(server, sample="0.25")
            for _ in range(4000):
                sending.observe(exchange())
            assert await sending.attempt()
            found = server.read().timings["tulle.http.request_duration"]
            assert {rate for value, rate in found} == {0.25}
            assert 836 < len(found) < 1164  # a standard deviation of 27; six of them
            assert server.counters["tulle.http.requests"] == 4000

    trio.run(test)


def test_connections_and_the_proxys_own():
    async def test():
        with Server() as server:
            own = {"tulle_proxy_retries_total": 7, "tulle_proxy_tasks": 5, 'tulle_proxy_x_total{a="b"}': 2}
            sending = exporter(server, counters=lambda: own)
            relayed = exchange(protocol="tcp", request_bytes=0, response_bytes=0)
            sending.opened(relayed)
            relayed.request_bytes = 77
            assert await sending.attempt()
            server.read()
            assert server.counters["tulle.tcp.opened"] == 1
            assert server.counters["tulle.tcp.sent_bytes"] == 77
            assert server.counters["tulle.proxy.retries"] == 7
            assert server.counters["tulle.proxy.x", "a", "b"] == 2
            gauges = {key[0]: value for key, value in server.gauges.items()}
            assert gauges == {"tulle.tcp.open": 1, "tulle.proxy.tasks": 5}
            assert all(("pod", "app-a-1") in key for key in server.gauges), "or pods would overwrite one another"
            sending.observe(relayed)
            assert await sending.attempt()
            server.read()
            assert server.counters["tulle.tcp.closed"] == 1
            assert {key[0]: value for key, value in server.gauges.items()}["tulle.tcp.open"] == 0

    trio.run(test)


def test_without_tags_labels_are_nodes_of_the_name():
    async def test():
        with Server() as server:
            sending = exporter(server, tags="none", prefix="mesh", values="2")
            sending.observe(exchange(status=503, reason="no-endpoints", route=""))
            sending.observe(exchange(status=503, reason="no-endpoints", route=""))
            assert await sending.attempt()
            texts = server.socket.recv(65536).decode().split("\n")
            here = "demo.deployment_app-a.outbound.app-b.default.-.default_app-b_80.default.deployment_app-b.false"
            assert f"mesh.http.requests.{here}.503.no-endpoints:2|c" in texts
            assert f"mesh.http.request_duration.{here}:12.500|ms:12.500|ms" in texts

    trio.run(test)


def test_datagrams_stay_below_the_limit():
    async def test():
        with Server() as server:
            sending = exporter(server, datagram="600")
            for number in range(60):
                sending.observe(exchange(backend=f"default/app-{number}:80", ended=100.0 + number))
            assert await sending.attempt()
            assert server.read().counters["tulle.http.requests"] == 60
            assert max(server.sizes) <= 600
            assert len(server.sizes) > 10

    trio.run(test)


@pytest.mark.parametrize("most", [1, 5, 11, 12, 100])
def test_packing_keeps_order_and_loses_nothing(most):
    lines = [Line(b"x" * size) for size in (5, 5, 5, 20, 1, 1)]
    packed = list(datagrams(lines, most))
    assert [line for _, inside in packed for line in inside] == lines
    assert all(datagram == b"\n".join(line.text for line in inside) for datagram, inside in packed)
    assert all(len(datagram) <= most or len(inside) == 1 for datagram, inside in packed)


def test_while_nobody_listens_counters_are_kept_and_timings_dropped_and_counted():
    async def test():
        with Server() as server:
            sending = exporter(server)
        for _ in range(5):
            for _ in range(10):
                sending.observe(exchange())
            assert not await sending.attempt()
        assert sending.counters()["send_failures_total"] == 5
        assert sending.counters()["dropped_total"] == 50
        with Server(server.port) as back:
            sending.observe(exchange())
            await sending.attempt()
            await sending.attempt()
            back.read()
            assert back.counters["tulle.http.requests"] == 51
            assert len(back.timings["tulle.http.request_duration"]) == 1
            assert sending.counters()["dropped_total"] == 50

    trio.run(test)


def test_timings_are_bounded_whatever_comes():
    async def test():
        with Server() as server:
            sending = exporter(server, timings="100")
            for _ in range(5000):
                sending.observe(exchange())
            assert sending.counters()["dropped_total"] == 4900
            assert await sending.attempt()
            assert len(server.read().timings["tulle.http.request_duration"]) == 100
            assert server.counters["tulle.http.requests"] == 5000

    trio.run(test)


def test_names_from_outside_cannot_forge_a_line_or_a_tag():
    evil = 'a|c\nforged:1|c|#x,direction:inbound:"é'
    for tags in ("dogstatsd", "none"):

        async def test(tags=tags):
            with Server() as server:
                sending = exporter(server, tags=tags)
                sending.observe(exchange(route=evil))
                assert await sending.attempt()
                server.read()
                assert not [name for name in server.counters if "forged" in str(name) and name[0] == "f"]
                assert {tag.get("direction", "outbound") for tag in server.tags} == {"outbound"}

        trio.run(test)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"address": "8125"}, "address: expected host:port, such as localhost:8125, got '8125'"),
        ({"tags": "influx"}, "tags: expected one of dogstatsd, none, got 'influx'"),
        ({"sample": "2"}, "sample: expected a share"),
        ({"interval": "0"}, "interval: expected a positive number"),
        ({"datagram": "10"}, "datagram: expected a whole number from 256"),
        ({"adress": "a:1"}, "unknown option 'adress'; did you mean 'address'?"),
    ],
)
def test_bad_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        exporter("localhost:8125", **options) if "address" not in options else Statsd(ExporterContext(options=options))
