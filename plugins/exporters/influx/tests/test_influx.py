"""What arrives at a web server on loopback, read by a parser written from the documentation of line protocol."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tulle_exporter_influx.exporter import Influx, line
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load

APP_B = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
REPLICA = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")


def exchange(**changes):
    made = Exchange()
    made.service, made.endpoint, made.route, made.backend = APP_B, REPLICA, "default/r/0", "default/app-b:80"
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.012
    made.request_bytes, made.response_bytes = 10, 1000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def parse(text):
    """measurement, tags, fields, time: character by character, a backslash before a comma, space or "=" escapes it."""
    parts, word, at = [], "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in ", =":
            word, at = word + text[at + 1], at + 2
        elif text[at] in ", =":
            parts, word, at = [*parts, word, text[at]], "", at + 1
        else:
            word, at = word + text[at], at + 1
    parts.append(word)
    words, separators = parts[::2], parts[1::2]
    first, second = [number for number, separator in enumerate(separators) if separator == " "]
    pairs = lambda some: dict(zip(some[::2], some[1::2], strict=True))  # noqa: E731
    assert separators[:first] == [",", "="] * (first // 2)
    return words[0], pairs(words[1 : first + 1]), pairs(words[first + 1 : second + 1]), int(words[second + 1])


class Server:
    """Takes writes; answers with `status`."""

    def __init__(self):
        self.status, self.lines, self.requests = 204, [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                outer.requests.append((self.path, dict(self.headers)))
                if outer.status == 204:
                    assert body.endswith("\n")
                    outer.lines += [parse(text) for text in body.splitlines()]
                self.send_response(outer.status)
                self.end_headers()
                if outer.status != 204:
                    self.wfile.write(b'{"error":"no"}')

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/write?db=tulle"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def value(self, measurement, field, **tags):
        """Of the last round: the sum over series."""
        last = {}
        for name, has, fields, _ in self.lines:
            if name == measurement and field in fields and tags.items() <= has.items():
                last[frozenset(has.items())] = float(fields[field])
        assert last, (measurement, field, tags)
        return sum(last.values())


def exporter(url, counters=dict, **options):
    return Influx(
        ExporterContext(
            pod="app-a-1", namespace="demo", workload="deployment/app-a",
            options={"url": url, **options}, counters=counters,
        )
    )  # fmt: skip


def test_it_is_installed_and_imported_only_when_configured():
    assert isinstance(load().exporters["influx"](ExporterContext()), Influx)


def test_totals_and_quantiles():
    with Server() as server:

        async def test():
            sending = exporter(server.url, lambda: {"tulle_proxy_retries_total": 7}, token="secret")
            for status in (200, 200, 503):
                sending.observe(exchange(status=status))
            assert await sending.attempt()
            sending.observe(exchange())
            await sending.aclose()
            assert sending.counters()["sent_total"] == len(server.lines)

        trio.run(test)
        assert server.value("tulle_http", "requests") == 4
        assert server.value("tulle_http", "requests", status="503", service="app-b", pod="app-a-1") == 1
        assert server.value("tulle_http", "response_bytes", backend="default/app-b:80") == 4000
        assert 0.01 < server.value("tulle_http", "duration_p50_seconds") <= 0.015
        assert server.value("tulle_proxy", "retries") == 7
        path, headers = server.requests[0]
        assert path == "/write?db=tulle"
        assert headers["Authorization"] == "Token secret"


def test_failures_cost_resolution_not_counts(caplog):
    with Server() as server:

        async def test():
            sending = exporter(server.url)
            server.status = 503
            for _ in range(3):
                sending.observe(exchange())
                assert not await sending.attempt()
            counters = sending.counters()
            assert (counters["send_failures_total"], counters["sent_total"]) == (3, 0)
            assert counters["dropped_total"] > 0
            server.status = 204
            assert await sending.attempt()

        trio.run(test)
        assert server.value("tulle_http", "requests") == 3


texts = st.text(max_size=20)


@given(texts.filter(bool), texts)
def test_whatever_a_name_holds_it_is_one_line_that_reads_back(measurement, tag):
    text = line("m" + measurement, {"a": tag, "b": "1"}, {"f": 1.5, "g": 2}, 17)
    assert text.count("\n") == 1
    name, tags, fields, at = parse(text.rstrip("\n"))
    clean = lambda some: re.sub(r"[\x00-\x1f\x7f\\]", "_", some)  # noqa: E731
    assert name == "m" + clean(measurement)
    assert tags == ({"a": clean(tag), "b": "1"} if tag else {"b": "1"})
    assert (fields, at) == ({"f": "1.5", "g": "2"}, 17)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "localhost:8086"}, "url: expected a URL, such as http://localhost:8086/write?db=tulle, got"),
        ({"token": "a b"}, "token: expected printable ASCII without spaces, got something else"),
        ({"tocken": "a"}, "unknown option 'tocken'; did you mean 'token'?"),
    ],
)
def test_bad_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        Influx(ExporterContext(options=options))
