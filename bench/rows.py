"""What is measured: one table. Each row is a load, the figures that are told of it, and the proxies that bear it.

Owns the loads' parameters. Refuses to know how rounds alternate (run.py) and how figures are printed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import measure, memory
from bench.measure import Sample
from bench.services import APP, BULK, ECHO, SINK
from bench.subjects.subject import Subject

MIB = 1 << 20

Samples = Mapping[str, Mapping[str, Sequence[Sample]]]
"""row -> subject -> rounds, as far as measured."""

Load = Callable[[Subject, float, Samples], Sample]
"""Puts a load on a proxy for so many seconds; knows what has been measured before."""


@dataclass(frozen=True)
class Metric:
    """One figure of a sample. `unit`: told as it is, not as a ratio."""

    key: str
    title: str
    unit: str = ""


CPU = Metric("cpu", "CPU time each")
RATE = Metric("rate", "throughput")
P50 = Metric("p50", "p50")
P99 = Metric("p99", "p99")
P999 = Metric("p999", "p99.9")
GROWTH = Metric("growth", "memory at its most", unit="KiB more")
EACH_1000 = Metric("each_1000", "each of 1,000", unit="KiB")
EACH_10000 = Metric("each_10000", "each of 10,000", unit="KiB")

QUICK = ("tulle", "envoy", "haproxy", "nginx", "floor")
PROXIES = ("tulle", "envoy", "haproxy", "nginx")
QUIET = ("tulle-quiet", "envoy-quiet")
ALL = (*PROXIES, *QUIET, "floor")


@dataclass(frozen=True)
class Row:
    """`quick`: the subjects of a quick run; none: the row is not in it."""

    name: str
    title: str
    load: Load
    metrics: tuple[Metric, ...]
    subjects: tuple[str, ...] = ALL
    quick: tuple[str, ...] = ()
    seconds: float = 1.0
    """How much longer than others it is measured, as a factor."""
    most_rounds: int = 1000
    needs: tuple[str, ...] = ()
    """Rows that must be measured before."""
    saturates: bool = True
    """Whether the load is meant to keep the proxy's core busy."""
    http: bool = True
    """Whether its operations are HTTP requests, which Tulle counts."""
    fresh: bool = False
    """Starts the proxies anew; so such rows come last."""


def _keep_alive(connections: int, path: str = "/", *, fresh: bool = False) -> Load:
    return lambda subject, seconds, _: measure.wrk(subject, seconds, connections=connections, path=path, fresh=fresh)


def _differing(subject: Subject, seconds: float, _: Samples) -> Sample:
    return measure.wrk(subject, seconds, connections=16, script="differing")


def _half_load(subject: Subject, seconds: float, known: Samples) -> Sample:
    # one rate for all: half of what Envoy answers when saturated
    rate = statistics.median(sample["rate"] for sample in known["keepalive-16"]["envoy"]) / 2
    return measure.client(subject, APP, seconds, "openloop", "--rate", f"{rate:.0f}", "--connections", "16")


def _get(subject: Subject, seconds: float, _: Samples) -> Sample:
    return measure.client(subject, APP, seconds, "bulk", "--connections", "2", mode="get")


def _post(subject: Subject, seconds: float, _: Samples) -> Sample:
    return measure.client(subject, SINK, seconds, "bulk", "--connections", "2", mode="post")


def _stream(subject: Subject, seconds: float, _: Samples) -> Sample:
    return memory.stream(subject, seconds)


def _raw(subject: Subject, seconds: float, _: Samples) -> Sample:
    return measure.client(subject, BULK, seconds, "bulk", "--connections", "2", "--size", str(16 * MIB), mode="raw")


def _ping_pong(subject: Subject, seconds: float, _: Samples) -> Sample:
    return measure.client(subject, ECHO, seconds, "pingpong", "--connections", "1")


def _idle(subject: Subject, seconds: float, _: Samples) -> Sample:
    return memory.idle_connections(subject)


BODIES = (*PROXIES, "direct", "envoy-redirected")
"""Client and backend share a core: what they reach without a proxy is the most that any can."""
LATENCY = (*PROXIES, *QUIET, "floor", "direct")
REDIRECTED = (*ALL, "envoy-redirected")
MESHES = ("tulle-mesh", "envoy-mesh")

ROWS: tuple[Row, ...] = (
    Row("keepalive-1", "keep-alive, 1 connection, 3 bytes", _keep_alive(1), (CPU, RATE, P50, P99, P999),
        subjects=(*LATENCY, "envoy-redirected"), quick=QUICK, saturates=False),
    Row("keepalive-16", "keep-alive, 16 connections, 3 bytes", _keep_alive(16), (CPU, RATE),
        subjects=REDIRECTED, quick=QUICK),
    Row("keepalive-16-differing", "keep-alive, 16 connections, no two heads alike", _differing, (CPU, RATE),
        quick=QUICK),
    Row("keepalive-256", "keep-alive, 256 connections, 3 bytes", _keep_alive(256), (CPU, RATE)),
    Row("keepalive-1-10k", "keep-alive, 1 connection, 10 KB", _keep_alive(1, "/10k"), (CPU, RATE, P50),
        subjects=PROXIES, saturates=False),
    Row("keepalive-16-10k", "keep-alive, 16 connections, 10 KB", _keep_alive(16, "/10k"), (CPU, RATE),
        subjects=PROXIES),
    Row("keepalive-256-10k", "keep-alive, 256 connections, 10 KB", _keep_alive(256, "/10k"), (CPU, RATE),
        subjects=PROXIES),
    Row("half-load", "half of Envoy's saturation, open loop", _half_load, (CPU, P50, P99, P999),
        subjects=LATENCY, seconds=3.0, needs=("keepalive-16",), saturates=False),
    Row("new-connections", "a new connection for each request", _keep_alive(16, fresh=True), (CPU, RATE),
        subjects=(*PROXIES, "envoy-redirected"), quick=PROXIES),
    Row("get-1m", "GET of 1 MiB", _get, (CPU, RATE), subjects=BODIES, quick=PROXIES),
    Row("post-1m", "POST of 1 MiB", _post, (CPU, RATE), subjects=(*BODIES, "floor")),
    Row("stream-64m", "GET of 64 MiB", _stream, (CPU, RATE, GROWTH), subjects=PROXIES, saturates=False),
    Row("opaque-bulk", "opaque TCP, bulk", _raw, (CPU, RATE), subjects=(*BODIES, "floor"), http=False),
    Row("opaque-ping-pong", "opaque TCP, 64 bytes there and back", _ping_pong, (CPU, RATE, P50), subjects=PROXIES,
        saturates=False, http=False),
    Row("two-hops-1", "two hops, keep-alive, 1 connection", _keep_alive(1), (CPU, RATE, P50), subjects=MESHES,
        saturates=False),
    Row("two-hops-16", "two hops, keep-alive, 16 connections", _keep_alive(16), (CPU, RATE), subjects=MESHES),
    Row("idle-connections", "idle connections", _idle, (EACH_1000, EACH_10000), subjects=PROXIES, most_rounds=3,
        saturates=False, fresh=True),
)
BY_NAME = {row.name: row for row in ROWS}
