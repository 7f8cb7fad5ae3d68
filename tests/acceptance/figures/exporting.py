"""Exporters in proxies at work: what happens to requests when a receiver is there, and when it is not."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

from tests.acceptance.figure import ByTime, Figure, Outcome, judged
from tests.acceptance.lone import lone_proxy
from tests.acceptance.mesh import Mesh
from tests.acceptance.metrics import Samples
from tests.acceptance.words import megabytes
from tests.acceptance.workspace import REPOSITORY

RECEIVERS = "tests/integration/test_exporter_receivers.py"
NODE = "10.244.0.1"
PORT = 7100
NOBODY = 7199
"""No one listens there."""
ROUNDS, REQUESTS = 9, 1200
FULL_AFTER = 5
"""Rounds after which every queue is full, and the allocator has what it will ever hold of batches under way."""
MOST_WORK, MOST_SLOWER = 1.1, 1.25
MOST_BYTES = 4_000_000
"""Were what is dropped kept, it would be 13 MB and more."""
PUSHING = ("statsd", "graphite", "influx", "zipkin", "otlp")
DROPPING = ("zipkin", "otlp", "statsd")
"""Those that must drop something; totals (graphite, influx) are told later instead."""


def variables(http: int, tcp: int, udp: int, other_http: int) -> dict[str, str]:
    """All exporters at once, each trace recorded, every line logged, and small queues."""
    return {
        "TULLE_EXPORTERS": ",".join(("prometheus", "access-log", *PUSHING)),
        "TULLE_TRACE_SAMPLE": "1",
        "TULLE_EXPORTER_STATSD_ADDRESS": f"{NODE}:{udp}",
        "TULLE_EXPORTER_STATSD_TIMINGS": "1000",
        "TULLE_EXPORTER_GRAPHITE_ADDRESS": f"{NODE}:{tcp}",
        "TULLE_EXPORTER_GRAPHITE_INTERVAL": "1",
        "TULLE_EXPORTER_INFLUX_URL": f"http://{NODE}:{other_http}/write?db=tulle",
        "TULLE_EXPORTER_INFLUX_INTERVAL": "1",
        "TULLE_EXPORTER_ZIPKIN_URL": f"http://{NODE}:{http}/api/v2/spans",
        "TULLE_EXPORTER_ZIPKIN_QUEUE": "1000",
        "TULLE_EXPORTER_ZIPKIN_INTERVAL": "0.2",
        "TULLE_EXPORTER_OTLP_SIGNALS": "metrics,logs,traces",
        "TULLE_EXPORTER_OTLP_ENDPOINT": f"http://{NODE}:{other_http}",
        "TULLE_EXPORTER_OTLP_METRICS_INTERVAL": "1",
        "TULLE_EXPORTER_OTLP_QUEUE": "1000",
        "TULLE_EXPORTER_OTLP_INTERVAL": "0.2",
    }


def _dropped(samples: Samples) -> dict[str, float]:
    return {name: samples.total("tulle_proxy_exporter_dropped_total", exporter=name) for name in PUSHING}


def _away(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    sink = mesh.node_background("sink", str(PORT))
    hole = PORT + 3
    there, away = variables(PORT, PORT + 1, PORT + 2, PORT), variables(hole, NOBODY, NOBODY, NOBODY)
    with lone_proxy(mesh, "there", files=0, **there) as here, lone_proxy(mesh, "away", files=0, **away) as gone:
        work: dict[str, list[float]] = {"there": [], "away": []}
        p50: dict[str, list[float]] = {"there": [], "away": []}
        failed, bytes_then, now = 0, 0.0, mesh.proxies()
        spent = {"there": now[here]["cpu_seconds"], "away": now[gone]["cpu_seconds"]}
        for number in range(ROUNDS):
            for name in ("there", "away") if number % 2 else ("away", "there"):
                [report] = mesh.script("ask", "http://bare/small", "--requests", str(REQUESTS), "--connections", "8",
                                       client=f"deploy/{name}")
                p50[name] += report["p50"]
                after = mesh.proxies()[here if name == "there" else gone]["cpu_seconds"]
                work[name].append(after - spent[name])
                spent[name] = after
                failed += REQUESTS - report["statuses"].get("200", 0)
            if number + 1 == FULL_AFTER:
                bytes_then = _resident(mesh)
        grown = _resident(mesh) - bytes_then
        samples = mesh.metrics(mesh.pod("away"))
    received = sink.enough()
    slower, more = (statistics.median(one / other for one, other in zip(each["away"], each["there"], strict=True))
                    for each in (p50, work))
    dropped = _dropped(samples)
    silent = [name for name in PUSHING if not samples.total("tulle_proxy_exporter_send_failures_total", exporter=name)
              and not dropped[name]]
    words = ", ".join(f"{name} {count:.0f}" for name, count in dropped.items())
    return judged(
        f"p50 {slower:.2f} and CPU time {more:.2f} of those with receivers there; {megabytes(grown)} more in "
        f"{REQUESTS * (ROUNDS - FULL_AFTER)} requests with full queues; dropped and counted: {words}",
        (failed == 0, f"{failed} failed"),
        (min(received.values()) > 0, f"the receivers that were there got {received}"),
        (slower <= MOST_SLOWER, ByTime(f"p50: more than {MOST_SLOWER}")),
        (more <= MOST_WORK, ByTime(f"CPU time: more than {MOST_WORK}")),
        (grown <= MOST_BYTES, f"more than {megabytes(MOST_BYTES)}"),
        (all(dropped[name] > 0 for name in DROPPING), f"nothing counted as dropped by {DROPPING}: {dropped}"),
        (not silent, f"neither drops nor failures counted by {silent}"),
    )


def _receivers(mesh: Mesh) -> Outcome:
    """tests/integration/test_exporter_receivers.py: each exporter, as a proxy runs it, and the real receiver."""
    fetch = [str(REPOSITORY / "scripts" / "receivers")]
    for words in (fetch, [*fetch, "otelcol", "prometheus-otlp"]):
        subprocess.run(words, capture_output=True, check=False, timeout=1500)  # what is missing is skipped, and said
    words = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", RECEIVERS]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=1200)
    said = done.stdout.strip().splitlines()
    counts = {kind: int(count) for count, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", said[-1])}
    skipped = "; ".join(line.partition(": ")[2] for line in said if line.startswith("SKIPPED"))
    return judged(
        f"{counts.get('passed', 0)} comparisons of 10,000 requests hold",
        (counts.get("passed", 0) > 0 and done.returncode == 0, f"not so: {' '.join(said[-3:])[-400:]}"),
        ("skipped" not in counts, f"could not be made: {skipped}"),
    )


def _resident(mesh: Mesh) -> float:
    return mesh.metrics(mesh.pod("away")).total("tulle_proxy_resident_bytes")


FIGURES = (
    Figure("receivers", "the real ones: counts there equal what was sent", _receivers, full=True),
    Figure("receivers-away", "CPU time at most 1.1, p50 1.25 of those with them; memory bounded; drops counted", _away),
)
