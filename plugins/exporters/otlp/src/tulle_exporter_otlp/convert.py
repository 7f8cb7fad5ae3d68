"""From flows and records to OpenTelemetry's types, and the official exporters that send them.

Owns names: metrics, attributes (OpenTelemetry's semantic conventions where there is one), the resource. Everything here
but the constructors runs in a thread: it touches only what it is given. Importing it imports the SDK, 15 MB.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from tulle_plugin_api import ExporterContext
from tulle_plugin_api.flows import Labels
from tulle_plugin_api.latency import LATENCY_BUCKETS
from tulle_plugin_api.rows import Row
from tulle_plugin_api.trace import Record

T = TypeVar("T")

CUMULATIVE = AggregationTemporality.CUMULATIVE
UNITS = {"bytes": "By", "seconds": "s"}  # by a name's last word; else "1"


class FlowFigures(NamedTuple):
    """Durations of a flow: a histogram's counts (latency.py), and their sum in seconds."""

    labels: Labels
    buckets: Sequence[int]
    seconds: float


class Signal(Generic[T]):
    """One signal's way out."""

    def __init__(self, name: str, endpoint: str, export: Callable[[T], bool], close: Callable[[], None]) -> None:
        self.name = name
        self.endpoint = endpoint
        self.export = export  # blocks; True: it was delivered
        self.close = close


class Sdk:
    """The official exporters, each made when its signal is wanted."""

    def __init__(
        self, context: ExporterContext, protocol: str, endpoint: str, headers: Mapping[str, str], timeout: float
    ) -> None:
        """`endpoint`: the receiver's base address; for http/protobuf each signal has a path of its own below it."""
        # they log each failed try; the proxy says once that sending failed, and once that it is well again
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._grpc = protocol == "grpc"
        self._endpoint = endpoint.rstrip("/")
        self._options: dict[str, Any] = {"headers": dict(headers), "timeout": timeout}
        self._resource = Resource.create(_resource(context))
        self._scope = InstrumentationScope("tulle", context.version)
        self._started = time.time_ns()

    def _at(self, signal: str) -> dict[str, Any]:
        if self._grpc:
            return {"endpoint": self._endpoint, "insecure": self._endpoint.startswith("http://"), **self._options}
        return {"endpoint": f"{self._endpoint}/v1/{signal}", **self._options}

    def metrics(self) -> Signal[tuple[list[Row], list[FlowFigures]]]:
        """Totals since the start."""
        exporter: Any
        if self._grpc:
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

            exporter = GrpcExporter(**self._at("metrics"))
        else:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

            exporter = HttpExporter(**self._at("metrics"))

        def export(data: tuple[list[Row], list[FlowFigures]]) -> bool:
            scope = ScopeMetrics(self._scope, metrics(*data, self._started, time.time_ns()), "")
            result: MetricExportResult = exporter.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))
            return result is MetricExportResult.SUCCESS

        return Signal("metrics", self._endpoint, export, exporter.shutdown)

    def logs(self) -> Signal[list[Record]]:
        """A record for each exchange."""
        exporter: Any
        if self._grpc:
            from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter

            exporter = GrpcExporter(**self._at("logs"))
        else:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter

            exporter = HttpExporter(**self._at("logs"))

        def export(batch: list[Record]) -> bool:
            return bool(exporter.export([log(kept, self._resource, self._scope) for kept in batch]).name == "SUCCESS")

        return Signal("logs", self._endpoint, export, exporter.shutdown)

    def traces(self) -> Signal[list[Record]]:
        """A span for each exchange."""
        exporter: Any
        if self._grpc:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

            exporter = GrpcExporter(**self._at("traces"))
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

            exporter = HttpExporter(**self._at("traces"))

        def export(batch: list[Record]) -> bool:
            result: SpanExportResult = exporter.export([span(kept, self._resource, self._scope) for kept in batch])
            return result is SpanExportResult.SUCCESS

        return Signal("traces", self._endpoint, export, exporter.shutdown)


def _resource(context: ExporterContext) -> dict[str, str]:
    # who the telemetry is about (semantic conventions: service, k8s); OTEL_RESOURCE_ATTRIBUTES adds to it
    found = {
        "service.name": context.workload.rpartition("/")[2] or context.pod or "tulle-proxy",
        "service.namespace": context.namespace,
        "service.instance.id": context.pod,
        "k8s.namespace.name": context.namespace,
        "k8s.pod.name": context.pod,
        "k8s.node.name": context.node,
    }
    return {name: value for name, value in found.items() if value}


# --- metrics -----------------------------------------------------------------------------------------------------


def metrics(rows: list[Row], flows: list[FlowFigures], started: int, now: int) -> list[Metric]:
    """Every figure as a data point, under `tulle.http.requests` and so on. Times are nanoseconds."""
    sums: dict[str, list[NumberDataPoint]] = {}
    gauges: dict[str, list[NumberDataPoint]] = {}
    for row in rows:
        attributes = _filled(row.labels)
        for name, value in row.counters.items():
            if (row.name, name) != ("http", "duration_seconds"):  # the histogram has it
                point = NumberDataPoint(attributes, started, now, value)
                sums.setdefault(f"tulle.{row.name}.{name}", []).append(point)
        for name, value in row.gauges.items():
            point = NumberDataPoint(attributes, started, now, value)
            gauges.setdefault(f"tulle.{row.name}.{name}", []).append(point)
    made = [Metric(name, None, _unit(name), Sum(points, CUMULATIVE, True)) for name, points in sums.items()]
    made += [Metric(name, None, _unit(name), Gauge(points)) for name, points in gauges.items()]
    if flows:
        histograms = [_histogram(flow, started, now) for flow in flows]
        made.append(Metric("tulle.http.request.duration", None, "s", Histogram(histograms, CUMULATIVE)))
    return made


def _histogram(flow: FlowFigures, started: int, now: int) -> HistogramDataPoint:
    nobody: Any = None  # least and largest are optional in OTLP, and nobody keeps them
    return HistogramDataPoint(
        _filled(flow.labels), started, now, sum(flow.buckets), flow.seconds, flow.buckets, LATENCY_BUCKETS,
        min=nobody, max=nobody,
    )  # fmt: skip


def _unit(name: str) -> str:
    return UNITS.get(name.rpartition("_")[2], "1")


def _filled(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if value not in ("", None)}


# --- logs and spans ----------------------------------------------------------------------------------------------


def _attributes(kept: Record) -> dict[str, Any]:
    endpoint, service = kept.endpoint, kept.service
    address = endpoint.address if endpoint else ("", 0)
    return _filled(
        {
            "http.request.method": kept.method,
            "http.response.status_code": kept.status or None,
            "url.path": kept.path,
            "server.address": service.authority if service else kept.authority,
            "network.protocol.name": kept.protocol.partition("/")[0],
            "network.protocol.version": kept.protocol.partition("/")[2],
            "network.peer.address": address[0] if kept.direction == "outbound" else kept.source_ip,
            "network.peer.port": (address[1] if kept.direction == "outbound" else kept.source_port) or None,
            "http.request.body.size": kept.request_bytes,
            "http.response.body.size": kept.response_bytes,
            "error.type": (kept.reason or ("aborted" if kept.aborted else str(kept.status))) if kept.failed else "",
            "tulle.direction": kept.direction,
            "tulle.route": kept.route,
            "tulle.backend": kept.backend,
            "tulle.peer.pod": endpoint.pod if endpoint else "",
            "tulle.peer.identity": kept.source_identity,
            "tulle.attempts": kept.attempts,
            "tulle.reason": kept.reason,
        }
    )


def span(kept: Record, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """A client's or a server's span (semantic conventions: HTTP spans)."""
    assert kept.span is not None
    trace_id, flags = int(kept.span.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
    parent_id = int(kept.span.parent_id, 16) if kept.span.parent_id else None
    return ReadableSpan(
        kept.method or kept.protocol,  # a path has too many values to be a span's name
        SpanContext(trace_id, int(kept.span.span_id, 16), is_remote=False, trace_flags=flags),
        SpanContext(trace_id, parent_id, is_remote=True, trace_flags=flags) if parent_id else None,
        resource,
        _attributes(kept),
        kind=SpanKind.CLIENT if kept.direction == "outbound" else SpanKind.SERVER,
        status=Status(StatusCode.ERROR, kept.reason or None) if kept.failed else Status(StatusCode.UNSET),
        start_time=int((kept.ended - kept.seconds) * 1e9),
        end_time=int(kept.ended * 1e9),
        instrumentation_scope=scope,
    )


def log(kept: Record, resource: Resource, scope: InstrumentationScope) -> ReadableLogRecord:
    """An access log's record, tied to its span if there is one."""
    severity = SeverityNumber.ERROR if kept.failed else SeverityNumber.INFO
    within = Context()
    if kept.span is not None:
        flags = TraceFlags(TraceFlags.SAMPLED if kept.span.sampled else TraceFlags.DEFAULT)
        own = SpanContext(int(kept.span.trace_id, 16), int(kept.span.span_id, 16), is_remote=False, trace_flags=flags)
        within = set_span_in_context(NonRecordingSpan(own), within)
    return ReadableLogRecord(
        LogRecord(
            timestamp=int(kept.ended * 1e9),
            observed_timestamp=int(kept.ended * 1e9),
            context=within,
            severity_text=severity.name,
            severity_number=severity,
            body=f"{kept.method or kept.protocol} {kept.path} {kept.status or '-'}",
            attributes={**_attributes(kept), "tulle.duration": kept.seconds},
        ),
        resource,
        scope,
    )
