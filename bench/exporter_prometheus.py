"""What this exporter costs, next to prometheus_client: `.venv/bin/python bench/exporter_prometheus.py`.

Prints the time to count a request, to answer a scrape of 500 histograms (20,000 lines), and what importing
prometheus_client adds to a process that has loaded what a proxy loads. Ratios matter, absolutes do not.
"""

import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from tulle_exporter_prometheus import Prometheus
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service
from tulle_plugin_api.latency import LATENCY_BUCKETS

LINE = b"\n"

IMPORTED = """
import ssl, trio, msgspec, tulle_plugin_api, tulle_exporter_prometheus
def resident(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1])
before = resident(); import prometheus_client; print(resident() - before)
"""


def exchange() -> Exchange:
    made = Exchange()
    made.status, made.started, made.ended, made.attempts = 200, 1.0, 1.0123, 1
    made.service = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
    made.endpoint = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
    made.backend = "default/app-b:80"
    return made


class Official:
    """The same 500 flows, as a custom Collector of prometheus_client."""

    def collect(self) -> Iterator[Metric]:
        names = ["direction", "service", "service_namespace", "route", "backend", "peer_namespace", "peer", "tls"]
        requests = CounterMetricFamily("tulle_http_requests", "Requests.", labels=names)
        duration = HistogramMetricFamily("tulle_http_request_duration_seconds", "Time.", labels=names)
        for number in range(500):
            labels = ["outbound", "app-b", "default", "", str(number), "default", "deployment/app-b", "false"]
            requests.add_metric(labels, number)
            duration.add_metric(labels, [*((str(b), 1) for b in LATENCY_BUCKETS), ("+Inf", 1)], 0.0123)
        yield requests
        yield duration


def best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    exporter, one = Prometheus(ExporterContext()), exchange()
    counting = min(timeit.repeat(lambda: exporter.observe(one), number=20_000, repeat=5)) / 20_000
    for number in range(480):
        one.backend = str(number)
        exporter.observe(one)
    registry = CollectorRegistry()
    registry.register(Official())
    ours, theirs = best(exporter.collect), best(lambda: generate_latest(registry))
    # twice: the first run may have to compile modules
    added = [int(subprocess.check_output([sys.executable, "-c", IMPORTED])) for _ in range(2)][1]
    print(f"count one request      {counting * 1e6:6.2f} us")
    print(f"answer a scrape        {ours * 1e3:6.1f} ms   ({exporter.collect().count(LINE)} lines)")
    print(f"  by prometheus_client {theirs * 1e3:6.1f} ms   ({generate_latest(registry).count(LINE)} lines)")
    print(f"  which adds           {added / 1024:6.1f} MiB of resident memory")


if __name__ == "__main__":
    main()
