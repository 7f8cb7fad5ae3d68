"""Spans as a server on loopback gets them, by the rules of Zipkin's API (zipkin2-api.yaml)."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trio
from tulle_exporter_zipkin.exporter import BATCH, Zipkin
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load
from tulle_plugin_api.trace import Span

TRACE, SPAN, PARENT = "80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1", "05e3ac9a4f6e3b90"
FIELDS = {
    "traceId", "parentId", "id", "kind", "name", "timestamp", "duration", "localEndpoint", "remoteEndpoint", "tags",
}  # fmt: skip


def exchange(span=None, **changes):
    made = Exchange()
    made.span = span or Span(TRACE, SPAN, PARENT)
    made.method, made.path, made.authority = "GET", "/cart?secret=1", "app-b:80"
    made.service = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
    made.endpoint = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
    made.source = Address("10.0.0.9", 4711)
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.0125
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class Server:
    """Takes spans; answers with `status`."""

    def __init__(self):
        self.status, self.spans, self.batches = 202, [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                assert (self.path, self.headers["content-type"]) == ("/api/v2/spans", "application/json")
                spans = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if outer.status == 202:
                    outer.spans += spans
                    outer.batches.append(len(spans))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v2/spans"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def exporter(server, **options):
    return Zipkin(
        ExporterContext(
            pod="app-a-1", namespace="demo", workload="deployment/app-a", options={"url": server.url, **options}
        )
    )


def sent(*exchanges):
    with Server() as server:

        async def test():
            sending = exporter(server)
            for one in exchanges:
                sending.observe(one)
            await sending.aclose()

        trio.run(test)
    return server.spans


def test_it_is_installed_imported_only_when_configured_and_wants_spans():
    made = load().exporters["zipkin"](ExporterContext())
    assert isinstance(made, Zipkin)
    assert made.spans


def test_a_clients_span():
    (span,) = sent(exchange())
    assert set(span) == FIELDS
    assert (span["traceId"], span["id"], span["parentId"]) == (TRACE, SPAN, PARENT)
    assert (span["kind"], span["name"], span["duration"]) == ("CLIENT", "get", 12500)
    assert span["localEndpoint"] == {"serviceName": "app-a"}
    assert span["remoteEndpoint"] == {"serviceName": "app-b.default", "ipv4": "10.0.0.1", "port": 8080}
    assert span["tags"] == {
        "tulle.namespace": "demo", "tulle.pod": "app-a-1", "http.method": "GET", "http.path": "/cart",
        "http.host": "app-b:80", "http.status_code": "200", "tulle.endpoint": "app-b-1",
    }  # fmt: skip


def test_a_servers_span_and_the_first_of_its_trace():
    (span,) = sent(exchange(Span(TRACE, SPAN), direction="inbound", source=Address("fd00::9", 4711), endpoint=None))
    assert span["kind"] == "SERVER"
    assert "parentId" not in span
    assert span["remoteEndpoint"] == {"ipv6": "fd00::9", "port": 4711}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": 503, "reason": "no-endpoints", "endpoint": None}, "no-endpoints"),
        ({"status": 500}, "500"),
        ({"aborted": True}, "aborted"),
        ({"status": 404}, None),
    ],
)
def test_errors(changes, error):
    (span,) = sent(exchange(**changes))
    assert span["tags"].get("error") == error


def test_what_is_not_recorded_is_not_kept():
    unsampled, untraced = exchange(Span(TRACE, SPAN, sampled=False)), exchange()
    untraced.span = None
    assert sent(unsampled, untraced) == []


def test_batches():
    with Server() as server:

        async def test():
            sending = exporter(server)
            for number in range(2 * BATCH + 1):
                sending.observe(exchange(Span(TRACE, f"{number + 1:016x}")))
            assert await sending.attempt()
            assert sending.counters()["sent_total"] == 2 * BATCH + 1

        trio.run(test)
    assert server.batches == [BATCH, BATCH, 1]
    assert [int(span["id"], 16) for span in server.spans] == list(range(1, 2 * BATCH + 2))


def test_while_the_server_is_away_spans_wait_in_a_bounded_queue():
    with Server() as server:

        async def test():
            sending = exporter(server, queue="100")
            server.status = 503
            for _ in range(3):
                for _ in range(200):
                    sending.observe(exchange())
                assert not await sending.attempt()
            assert sending.counters() == {"sent_total": 0, "dropped_total": 500, "send_failures_total": 3}
            server.status = 202
            assert await sending.attempt()
            assert sending.counters()["sent_total"] == 100

        trio.run(test)
    assert len(server.spans) == 100


def test_a_batch_that_the_server_will_not_have_does_not_block_others():
    with Server() as server:

        async def test():
            sending = exporter(server)
            server.status = 400
            sending.observe(exchange())
            assert not await sending.attempt()
            server.status = 202
            sending.observe(exchange())
            assert await sending.attempt()
            assert sending.counters() == {"sent_total": 1, "dropped_total": 1, "send_failures_total": 1}

        trio.run(test)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "zipkin:9411"}, "url: expected a URL, such as http://localhost:9411/api/v2/spans, got 'zipkin:9411'"),
        ({"queue": "0"}, "queue: expected a whole number from 1"),
        ({"uri": "x"}, "unknown option 'uri'; did you mean 'url'?"),
    ],
)
def test_bad_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        Zipkin(ExporterContext(options=options))
