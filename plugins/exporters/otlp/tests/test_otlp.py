"""What a server on loopback gets, decoded with opentelemetry-proto's messages."""

import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tulle_exporter_otlp.exporter import BATCH, Otlp
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load
from tulle_plugin_api.trace import Span

TRACE, SPAN, PARENT = "80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1", "05e3ac9a4f6e3b90"
REQUESTS = {
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}
ALL = "metrics,logs,traces"


def exchange(**changes):
    made = Exchange()
    made.span = Span(TRACE, SPAN, PARENT)
    made.method, made.path, made.authority = "GET", "/cart?secret=1", "app-b:80"
    made.service = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
    made.endpoint = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
    made.backend = "default/app-b:80"
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.0125
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class Server:
    """A receiver of OTLP over HTTP. `status` is what it answers with."""

    def __init__(self):
        self.status, self.requests, self.headers = 200, defaultdict(list), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.headers.append(dict(self.headers))
                if outer.status == 200:
                    outer.requests[self.path].append(REQUESTS[self.path].FromString(body))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False  # the exporter keeps its connection
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def metrics(self):
        """The last round: name -> metric."""
        (resource,) = self.requests["/v1/metrics"][-1].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def spans(self):
        return [
            (dict(pairs(resource.resource.attributes)), span)
            for request in self.requests["/v1/traces"]
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self):
        return [
            log
            for request in self.requests["/v1/logs"]
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for log in scope.log_records
        ]


def pairs(attributes):
    for attribute in attributes:
        yield attribute.key, getattr(attribute.value, attribute.value.WhichOneof("value"))


def exporter(url, counters=dict, **options):
    return Otlp(
        ExporterContext(
            pod="app-a-1", namespace="demo", workload="deployment/app-a", version="0.1.0",
            options={"endpoint": url, "timeout": "30", **options}, counters=counters,
        )
    )  # fmt: skip


def test_it_is_installed_and_imported_only_when_configured():
    assert isinstance(load().exporters["otlp"](ExporterContext()), Otlp)


@pytest.mark.parametrize(("signals", "wants"), [("metrics", False), ("logs", False), ("logs,traces", True)])
def test_only_traces_need_the_proxy_to_trace(signals, wants):
    assert exporter("http://localhost:1", signals=signals).spans is wants


def test_metrics():
    with Server() as server:

        async def test():
            own = {"tulle_proxy_retries_total": 7.0, "tulle_proxy_tasks": 5.0}
            sending = exporter(server.url, lambda: own, headers="api-key=k,x=y")
            for status in (200, 200, 503):
                sending.observe(exchange(status=status, request_bytes=10))
            relayed = exchange(protocol="tcp")
            sending.opened(relayed)
            assert await sending.attempt()
            sending.observe(exchange())
            await sending.aclose()

        trio.run(test)
        found = server.metrics()
        requests = found["tulle.http.requests"].sum
        assert (requests.is_monotonic, requests.aggregation_temporality) == (True, 2)  # cumulative
        by_status = {dict(pairs(point.attributes))["status"]: point for point in requests.data_points}
        assert {status: point.as_int for status, point in by_status.items()} == {"200": 3, "503": 1}
        assert dict(pairs(by_status["200"].attributes)) == {
            "direction": "outbound", "service": "app-b", "service_namespace": "default", "status": "200",
            "backend": "default/app-b:80", "peer_namespace": "default", "peer_workload": "deployment/app-b",
            "tls": "false",
        }  # fmt: skip
        assert 0 < by_status["200"].start_time_unix_nano < by_status["200"].time_unix_nano
        (duration,) = found["tulle.http.request.duration"].histogram.data_points
        assert (duration.count, duration.sum) == (4, pytest.approx(0.05))
        assert len(duration.bucket_counts) == len(duration.explicit_bounds) + 1
        assert [n for n, count in enumerate(duration.bucket_counts) if count] == [
            next(n for n, bound in enumerate(duration.explicit_bounds) if bound >= 0.0125)
        ]
        assert not duration.HasField("min")
        assert found["tulle.http.request_bytes"].unit == "By"
        assert found["tulle.tcp.open"].gauge.data_points[0].as_int == 1
        assert found["tulle.proxy.retries"].sum.data_points[0].as_double == 7
        assert found["tulle.proxy.tasks"].gauge.data_points[0].as_double == 5
        assert (server.headers[0]["api-key"], server.headers[0]["x"]) == ("k", "y")
        assert "/v1/traces" not in server.requests


def test_spans():
    with Server() as server:

        async def test():
            sending = exporter(server.url, signals="traces")
            sending.observe(exchange())
            sending.observe(exchange(direction="inbound", span=Span(TRACE, SPAN), source=Address("10.0.0.9", 4711)))
            sending.observe(exchange(status=503, reason="no-endpoints", endpoint=None))
            sending.observe(exchange(span=Span(TRACE, SPAN, sampled=False)))
            sending.observe(exchange(span=None))
            await sending.aclose()
            assert sending.counters()["sent_total"] == 3

        trio.run(test)
    (resource, client), (_, server_side), (_, failed) = server.spans()
    assert resource.items() >= {
        "service.name": "app-a", "service.namespace": "demo", "service.instance.id": "app-a-1",
        "k8s.pod.name": "app-a-1", "k8s.namespace.name": "demo",
    }.items()  # fmt: skip
    assert (client.trace_id.hex(), client.span_id.hex(), client.parent_span_id.hex()) == (TRACE, SPAN, PARENT)
    assert (client.kind, client.name) == (WireSpan.SPAN_KIND_CLIENT, "GET")
    assert client.end_time_unix_nano - client.start_time_unix_nano == pytest.approx(12_500_000, rel=1e-3)
    attributes = dict(pairs(client.attributes))
    assert attributes["url.path"] == "/cart", "without the query"
    assert (attributes["http.response.status_code"], attributes["network.peer.address"]) == (200, "10.0.0.1")
    assert (server_side.kind, server_side.parent_span_id) == (WireSpan.SPAN_KIND_SERVER, b"")
    assert dict(pairs(server_side.attributes))["network.peer.port"] == 4711
    assert (failed.status.code, failed.status.message) == (Status.STATUS_CODE_ERROR, "no-endpoints")


def test_logs():
    with Server() as server:

        async def test():
            sending = exporter(server.url, signals="logs", log_sample="0")
            sending.observe(exchange())
            sending.observe(exchange(status=503))
            sending.observe(exchange(status=503, span=None))
            await sending.aclose()

        trio.run(test)
    traced, untraced = server.logs()
    assert traced.body.string_value == "GET /cart 503"
    assert (traced.severity_text, traced.severity_number) == ("ERROR", 17)
    assert (traced.trace_id.hex(), traced.span_id.hex()) == (TRACE, SPAN)
    assert dict(pairs(traced.attributes))["tulle.duration"] == pytest.approx(0.0125)
    assert untraced.trace_id == b""


def test_batches_of_all_signals_at_once():
    count = 2 * BATCH + 1
    with Server() as server:

        async def test():
            sending = exporter(server.url, signals=ALL)
            for _ in range(count):
                sending.observe(exchange())
            assert await sending.attempt()

        trio.run(test)
        assert (len(server.spans()), len(server.logs())) == (count, count)
        assert server.metrics()["tulle.http.requests"].sum.data_points[0].as_int == count


def test_a_receiver_that_refuses_costs_neither_counts_nor_memory():
    with Server() as server:

        async def test():
            sending = exporter(server.url, signals=ALL, queue="100")
            server.status = 400  # what is tried again within the timeout would only take time
            for _ in range(2):
                for _ in range(200):
                    sending.observe(exchange())
                assert not await sending.attempt()
            before = sending.counters()
            assert before["send_failures_total"] == 6
            assert before["dropped_total"] >= 600
            server.status = 200
            assert await sending.attempt()
            assert sending.counters()["dropped_total"] == before["dropped_total"]

        trio.run(test)
        assert server.metrics()["tulle.http.requests"].sum.data_points[0].as_int == 400
        assert (len(server.spans()), len(server.logs())) == (100, 100)


def test_while_it_sends_nobody_waits():
    """The receiver takes its time; the loop goes on, and ends when the proxy does."""
    release = threading.Event()
    with Server() as server:
        handler = server.server.RequestHandlerClass
        original = handler.do_POST
        handler.do_POST = lambda self: (release.wait(60), original(self))

        async def test():
            sending = exporter(server.url, signals=ALL)
            sending.observe(exchange())
            with trio.move_on_after(0.2):  # as the proxy does at its end
                await sending.aclose()
            release.set()

        trio.run(test)


def test_grpc():
    import grpc

    seen = []

    def take(request, context):
        seen.append(request)
        return b""

    names = {
        "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
        "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
        "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    }
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(2))
    for signal, name in names.items():
        method = grpc.unary_unary_rpc_method_handler(
            take, REQUESTS[f"/v1/{signal}"].FromString, lambda answer: answer
        )
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"Export": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:

        async def test():
            sending = exporter(f"http://127.0.0.1:{port}", signals=ALL, protocol="grpc")
            sending.observe(exchange())
            assert await sending.attempt()
            await sending.aclose()

        trio.run(test)
    finally:
        server.stop(None).wait()
    assert {type(request) for request in seen} == set(REQUESTS.values())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"signals": "metrics,profiles"}, "signals: expected a comma list of metrics, logs, traces, got"),
        ({"protocol": "http/json"}, "protocol: expected one of http/protobuf, grpc, got 'http/json'"),
        ({"endpoint": "collector:4318"}, "endpoint: expected a URL, such as http://localhost:4318, got"),
        ({"headers": "secret"}, "headers: expected name=value,other=value with printable ASCII, got something else"),
        ({"endpont": "x"}, "unknown option 'endpont'; did you mean 'endpoint'?"),
    ],
)
def test_bad_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        Otlp(ExporterContext(options=options))
