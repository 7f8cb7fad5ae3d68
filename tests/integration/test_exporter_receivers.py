"""Exporters against the real receivers: what these have counted is what was sent.

`scripts/receivers` fetches the receivers; a test whose receiver is not there skips, and says so. Each receiver is a
process of its own on loopback, which the test ends. Nothing here asserts on time: a test waits, with patience, until
the receiver says the number; one that never does is shown with what it says instead.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load
from tulle_plugin_api.trace import Span

RECEIVERS = Path(__file__).parents[2] / ".tulle" / "receivers"
PATIENCE = 100  # seconds until a receiver counts as hung; Java takes half a minute on a busy machine
REQUESTS = 10_000
ROUND = 500
"""Requests between two sends."""

APP_B = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
REPLICAS = [
    Endpoint(Address(f"10.0.0.{n}", 8080), f"app-b-{n}", "default", f"deployment/app-b{n}") for n in range(1, 4)
]


# --- what is sent ------------------------------------------------------------------------------------------------


def exchanges(count=REQUESTS):
    """1 in 10 failed, over three workloads; durations of 1 to 100 ms; two in turn are the two sides of one hop."""
    for number in range(count):
        made = Exchange()
        made.service, made.endpoint, made.backend = APP_B, REPLICAS[number % 3], "default/app-b:80"
        made.method, made.path, made.route = "GET", f"/{number}", "default/r/0"
        made.status = 503 if number % 10 == 0 else 200
        made.attempts, made.started, made.ended = 1, 1000.0, 1000.0 + (1 + number % 100) / 1000
        made.request_bytes, made.response_bytes = 10, 100
        made.span = Span(f"{number // 2 + 1:032x}", f"{number + 1:016x}", f"{number:016x}" if number % 2 else "")
        made.direction = "inbound" if number % 2 else "outbound"
        yield made


def export(name, arrived=None, **options):
    """Run the exporter as a proxy does, tell it of all exchanges, and end it. Returns its counters.

    `arrived`: how many the receiver has. Over UDP it is waited for, since nobody else holds back a sender there.
    """

    async def run():
        exporter = load(kinds=("exporter",)).exporters[name](
            ExporterContext(
                pod="app-a-1", namespace="demo", workload="deployment/app-a", version="0.1.0", options=options,
                counters=lambda: {"tulle_proxy_retries_total": 7.0},
            )
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.run)
            for number, exchange in enumerate(exchanges(), 1):
                exporter.observe(exchange)
                if number % ROUND == 0:
                    assert await exporter.attempt()
                    if arrived is not None:
                        eventually(arrived, lambda count, number=number: count == number)
            with trio.fail_after(PATIENCE):
                await exporter.aclose()
            nursery.cancel_scope.cancel()
        return exporter.counters()

    return trio.run(run)


# --- receivers -----------------------------------------------------------------------------------------------------


def found(*names):
    """Where the receiver is; skips when it is not."""
    for name in names:
        here = RECEIVERS / name
        if here.exists():
            return str(here)
        if (there := shutil.which(Path(name).name)) is not None:
            return there
    pytest.skip(f"no {Path(names[0]).name} here: scripts/receivers fetches it, where it can")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def running(*command, until, **more):
    """A process, once `until()` says that it serves; ended afterwards, whatever happens."""
    with subprocess.Popen(
        [*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, **more,
    ) as process:  # fmt: skip
        os.set_blocking(process.stdout.fileno(), False)
        said = bytearray()

        def check():
            said.extend(process.stdout.read() or b"")
            assert process.poll() is None, f"{command[0]} ended: {said[-2000:].decode(errors='replace')}"
            return until()

        try:
            eventually(check, bool)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def eventually(ask, right):
    """What `ask` returns once it is `right`; what could not be asked yet is asked again."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            last = ask()
            if right(last):
                return last
        except (OSError, KeyError, IndexError) as error:
            last = error
        time.sleep(0.05)
    pytest.fail(f"waited in vain; last: {last!r}")
    raise AssertionError


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def accepts(port):
    def ask():
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return ask


# --- statsd --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", ["none", "dogstatsd"])
def test_statsd(tmp_path, tags):
    """The original, in node: its counters by its own management port."""
    node, program = shutil.which("node"), found("npm/node_modules/statsd/stats.js")
    if node is None:
        pytest.skip("no node here, which statsd runs on")
    port, management = free_port(socket.SOCK_DGRAM), free_port()
    config = tmp_path / "config.js"
    config.write_text(
        f'{{port: {port}, mgmt_port: {management}, address: "127.0.0.1", mgmt_address: "127.0.0.1",'
        ' backends: ["./backends/console"], flushInterval: 3600000}'
    )

    def ask(what):
        with socket.create_connection(("127.0.0.1", management), timeout=5) as sock, sock.makefile("rb") as lines:
            sock.sendall(what.encode() + b"\n")
            text = ""
            while (line := lines.readline()) and line.strip() != b"END":
                text += line.decode()
        return text

    def counter(name):
        return sum(int(value) for key, value in re.findall(r"'([^']+)': (\d+)", ask("counters")) if name in key)

    with running(node, program, config, until=accepts(management), cwd=Path(program).parent):
        told = export("statsd", lambda: counter("tulle.http.requests"), address=f"127.0.0.1:{port}", tags=tags)
        assert told["dropped_total"] == 0
        assert counter("tulle.http.requests") == REQUESTS
        failed = "status=503" if tags == "dogstatsd" else ".503."
        assert sum(int(v) for k, v in re.findall(r"'([^']+)': (\d+)", ask("counters")) if failed in k) == REQUESTS / 10
        assert counter("tulle.http.response_bytes") == REQUESTS * 100
        assert "bad_lines_seen: 0" in ask("stats")


@pytest.mark.parametrize("values", ["1", "50"])
def test_dogstatsd(values):
    """Prometheus's statsd_exporter, which knows DogStatsD's tags and several values in a line."""
    port, web = free_port(socket.SOCK_DGRAM), free_port()
    program = found("bin/statsd_exporter")

    def samples(name):
        lines = [line for line in get(f"http://127.0.0.1:{web}/metrics").splitlines() if line.startswith(name + "{")]
        return [(line[: line.rindex(" ")], float(line[line.rindex(" ") :])) for line in lines]

    def total(name):
        return sum(value for _, value in samples(name))

    command = (f"--statsd.listen-udp=127.0.0.1:{port}", "--statsd.listen-tcp=", f"--web.listen-address=127.0.0.1:{web}")
    with running(program, *command, until=accepts(web)):
        timed = "tulle_http_request_duration_count"
        told = export("statsd", lambda: total(timed), address=f"127.0.0.1:{port}", values=values)
        assert told["dropped_total"] == 0
        assert total(timed) == REQUESTS
        requests = samples("tulle_http_requests")
        assert sum(value for _, value in requests) == REQUESTS
        assert sum(value for labels, value in requests if 'status="503"' in labels) == REQUESTS / 10
        assert len(requests) > 6  # three workloads, two statuses, and inbound
        assert total("tulle_http_request_duration_sum") == pytest.approx(REQUESTS * 0.0505)  # seconds
        text = get(f"http://127.0.0.1:{web}/metrics")
        assert not re.search(r"^statsd_exporter_(sample|tag)_errors_total(\{.*\})? [1-9]", text, re.M), text


# --- graphite ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", ["graphite", "none"])
def test_graphite(tmp_path, tags):
    """carbon-cache of Debian, read back from whisper's files."""
    program = found("bin/carbon-cache")
    path = {**os.environ, "PYTHONPATH": str(RECEIVERS / "debian/usr/lib/python3/dist-packages")}
    line, pickle, query = free_port(), free_port(), free_port()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/carbon.conf").write_text(
        f"[cache]\nUSER =\nLOCAL_DATA_DIR = {tmp_path}/whisper/\nLOG_DIR = {tmp_path}/log/\nPID_DIR = {tmp_path}/\n"
        f"STORAGE_DIR = {tmp_path}/\nCONF_DIR = {tmp_path}/conf/\nLINE_RECEIVER_INTERFACE = 127.0.0.1\n"
        f"LINE_RECEIVER_PORT = {line}\nPICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {pickle}\n"
        f"CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {query}\nMAX_CREATES_PER_MINUTE = inf\n"
        "MAX_UPDATES_PER_SECOND = inf\nTAG_HASH_FILENAMES = False\nENABLE_TAGS = False\nMAX_CACHE_SIZE = inf\n"
        "WHISPER_FALLOCATE_CREATE = False\n"
    )
    (tmp_path / "conf/storage-schemas.conf").write_text("[all]\npattern = .*\nretentions = 1s:10m\n")
    script = (
        "import os, sys, time, whisper\n"
        "for folder, _, files in os.walk(sys.argv[1]):\n"
        "    for name in files:\n"
        "        path = os.path.join(folder, name)\n"
        "        values = [v for v in whisper.fetch(path, int(time.time()) - 500)[1] if v is not None]\n"
        "        print(os.path.relpath(path, sys.argv[1]).replace('_DOT_', '.'), values[-1] if values else '-')\n"
    )

    def stored():
        done = subprocess.run(
            ["/usr/bin/python3", "-c", script, f"{tmp_path}/whisper"],
            env=path, capture_output=True, text=True, check=False,
        )
        rows = [row.rsplit(" ", 1) for row in done.stdout.splitlines()]
        return {name.replace("/", "."): float(value) for name, value in rows if value != "-"}

    def total(name):
        return sum(value for path, value in stored().items() if name in path)

    command = ("/usr/bin/python3", program, f"--config={tmp_path}/conf/carbon.conf", "--nodaemon", "start")
    with running(*command, until=accepts(line), env=path):
        told = export("graphite", address=f"127.0.0.1:{line}", tags=tags)
        assert told["dropped_total"] == 0
        eventually(lambda: total("tulle.http.requests"), lambda count: count == REQUESTS)
        assert total("status=503" if tags == "graphite" else ".503.") == REQUESTS / 10
        seconds = pytest.approx(REQUESTS * 0.0505)
        eventually(lambda: total("tulle.http.duration_seconds"), lambda total: total == seconds)
        eventually(lambda: total("tulle.proxy.retries"), lambda count: count == 7)


# --- influx --------------------------------------------------------------------------------------------------------


def test_influx(tmp_path):
    """InfluxDB 1.6 of Debian, asked in InfluxQL."""
    program = found("bin/influxd")
    web, rpc = free_port(), free_port()
    config = tmp_path / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n[meta]\ndir = "{tmp_path}/meta"\n'
        f'[data]\ndir = "{tmp_path}/data"\nwal-dir = "{tmp_path}/wal"\n[http]\nbind-address = "127.0.0.1:{web}"\n'
        "[monitor]\nstore-enabled = false\n"
    )

    def ask(query):
        asked = urllib.parse.urlencode({"db": "tulle", "q": query})
        return json.loads(get(f"http://127.0.0.1:{web}/query?{asked}"))["results"][0]

    def total(field, where=""):
        rows = ask(f"SELECT last({field}) FROM tulle_http {where} GROUP BY *")["series"]
        return sum(row["values"][0][1] for row in rows)

    with running(program, "-config", config, until=accepts(web)):
        body = urllib.parse.urlencode({"q": "CREATE DATABASE tulle"}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{web}/query", body, timeout=PATIENCE).close()
        told = export("influx", url=f"http://127.0.0.1:{web}/write?db=tulle")
        assert told["dropped_total"] == 0
        assert total("requests") == REQUESTS
        assert total("requests", "WHERE status = '503'") == REQUESTS / 10
        assert total("duration_seconds") == pytest.approx(REQUESTS * 0.0505)
        assert total("response_bytes", "WHERE backend = 'default/app-b:80'") == REQUESTS * 100
        assert ask("SELECT last(retries) FROM tulle_proxy")["series"][0]["values"][0][1] == 7


# --- prometheus ----------------------------------------------------------------------------------------------------


OWN = {
    "tulle_proxy_retries_total": 7.0,
    'tulle_proxy_plugin_failures_total{plugin="policy-x",what="raised"}': 2.0,
    'tulle_proxy_stalls_total{plugin="policy-x"}': 1.0,
    'tulle_proxy_limit_hits_total{limit="head",reason="head-too-large"}': 1.0,
    'tulle_proxy_detections_total{protocol="http/1"}': 4.0,
    'tulle_proxy_detections_total{protocol="timeout"}': 1.0,
    "tulle_proxy_control_plane_connected": 1.0,
}


def page():
    exporter = load(kinds=("exporter",)).exporters["prometheus"](
        ExporterContext(pod="app-a-1", namespace="demo", counters=lambda: OWN)
    )
    for exchange in exchanges():
        exporter.observe(exchange)
    return exporter.collect()


def test_promtool_finds_nothing_to_complain_of():
    done = subprocess.run(
        [found("bin/promtool"), "check", "metrics"], input=page(), capture_output=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_prometheus(tmp_path):
    """A Prometheus server that scrapes the page, asked in PromQL."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    text, web, program = page(), free_port(), found("bin/prometheus")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    def ask(query):
        asked = urllib.parse.urlencode({"query": query})
        return float(json.loads(get(f"http://127.0.0.1:{web}/api/v1/query?{asked}"))["data"]["result"][0]["value"][1])

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            config = tmp_path / "prometheus.yml"
            config.write_text(
                "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: tulle\n"
                f"  static_configs: [{{targets: ['127.0.0.1:{server.server_port}']}}]\n"
            )
            command = (f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data")
            with running(program, *command, f"--web.listen-address=127.0.0.1:{web}", until=accepts(web)):
                eventually(lambda: ask("sum(tulle_http_requests_total)"), lambda count: count == REQUESTS)
                assert ask('sum(tulle_http_requests_total{status="503"})') == REQUESTS / 10
                assert ask("sum(tulle_http_request_duration_seconds_count)") == REQUESTS
                assert ask("sum(tulle_http_request_duration_seconds_sum)") == pytest.approx(REQUESTS * 0.0505)
                p50 = ask("histogram_quantile(0.5, sum by (le) (tulle_http_request_duration_seconds_bucket))")
                assert 0.04 < p50 < 0.06
        finally:
            server.shutdown()
            thread.join()


# --- zipkin -----------------------------------------------------------------------------------------------------------


def test_zipkin(tmp_path):
    """Zipkin's server in memory: so many traces, each of two spans that join up."""
    java = shutil.which("java")
    jars = sorted(RECEIVERS.glob("zipkin-server-*-exec.jar"))
    if java is None or not jars:
        pytest.skip("no java, or no zipkin-server here: scripts/receivers fetches it, where it can")
    web = free_port()
    settings = {**os.environ, "QUERY_PORT": str(web), "STORAGE_TYPE": "mem", "MEM_MAX_SPANS": "100000"}
    settings["QUERY_LOOKBACK"] = str(10 * 365 * 86_400_000)

    def serves():
        return json.loads(get(f"http://127.0.0.1:{web}/health"))["status"] == "UP"

    def traces(**asked):
        query = urllib.parse.urlencode({"limit": 100_000, "lookback": 86_400_000, **asked})
        return json.loads(get(f"http://127.0.0.1:{web}/api/v2/traces?{query}"))

    with running(java, "-Xmx512m", "-jar", jars[-1], until=serves, env=settings, cwd=tmp_path):
        told = export("zipkin", url=f"http://127.0.0.1:{web}/api/v2/spans")
        assert (told["sent_total"], told["dropped_total"]) == (REQUESTS, 0)
        found = eventually(traces, lambda found: sum(map(len, found)) == REQUESTS)
        assert len(found) == REQUESTS / 2
        for trace in found:
            server, client = sorted(trace, key=lambda span: span["kind"], reverse=True)
            assert (client["kind"], server["kind"]) == ("CLIENT", "SERVER")
            assert server["parentId"] == client["id"]
        failed = traces(annotationQuery="error=503")
        assert sum("error" in span["tags"] for trace in failed for span in trace) == REQUESTS / 10


# --- OTLP -------------------------------------------------------------------------------------------------------------


def test_otlp_metrics(tmp_path):
    """Prometheus 3, which receives OTLP's metrics: asked in PromQL."""
    program, web = found("bin/prometheus-otlp"), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {}\n")

    def ask(query):
        asked = urllib.parse.urlencode({"query": query})
        return float(json.loads(get(f"http://127.0.0.1:{web}/api/v1/query?{asked}"))["data"]["result"][0]["value"][1])

    def ready():
        return "Ready" in get(f"http://127.0.0.1:{web}/-/ready")

    command = (f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", "--web.enable-otlp-receiver")
    with running(program, *command, f"--web.listen-address=127.0.0.1:{web}", until=ready):
        told = export("otlp", endpoint=f"http://127.0.0.1:{web}/api/v1/otlp", timeout="60", metrics_interval="3600")
        assert told["dropped_total"] == 0
        eventually(lambda: ask("sum(tulle_http_requests_total)"), lambda count: count == REQUESTS)
        assert ask('sum(tulle_http_requests_total{status="503"})') == REQUESTS / 10
        assert ask('sum(tulle_http_requests_total{job="demo/app-a"})') == REQUESTS  # service.namespace/service.name
        assert ask("sum(tulle_http_request_duration_seconds_count)") == REQUESTS
        assert ask("sum(tulle_http_request_duration_seconds_sum)") == pytest.approx(REQUESTS * 0.0505)
        assert ask("sum(tulle_proxy_retries_total)") == 7


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_otlp_logs_and_traces(tmp_path, protocol):
    """The OpenTelemetry collector, which writes down every span and log record that came."""
    program, http, grpc = found("bin/otelcol"), free_port(), free_port()
    (tmp_path / "otelcol.yaml").write_text(
        f'receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}},'
        f' grpc: {{endpoint: "127.0.0.1:{grpc}"}}}}}}}}\n'
        "exporters: {debug: {verbosity: detailed, use_internal_logger: false}}\n"
        "service:\n  telemetry: {metrics: {level: none}}\n  pipelines:\n"
        + "".join(f"    {each}: {{receivers: [otlp], exporters: [debug]}}\n" for each in ("traces", "logs", "metrics"))
    )
    told_file = tmp_path / "told"
    script = 'exec "$0" --config="$1" > "$2" 2>&1'
    command = ("/bin/sh", "-c", script, program, tmp_path / "otelcol.yaml", told_file)

    def ready():
        return accepts(http)() and accepts(grpc)()

    def lines(start):
        return [line for line in told_file.read_text().splitlines() if line.startswith(start)]

    def values(start):
        return [line.rpartition(": ")[2] for line in lines(start)]

    endpoint = f"http://127.0.0.1:{grpc if protocol == 'grpc' else http}"
    with running(*command, until=ready):
        told = export("otlp", endpoint=endpoint, protocol=protocol, signals="logs,traces", queue=str(REQUESTS),
                      timeout="60")  # fmt: skip
        assert (told["sent_total"], told["dropped_total"]) == (2 * REQUESTS, 0)
        eventually(lambda: (len(lines("Span #")), len(lines("LogRecord #"))), lambda n: n == (REQUESTS, REQUESTS))
        spans = values("    ID             : ")
        assert len(set(spans)) == REQUESTS
        parents = [each for each in values("    Parent ID      : ") if each]
        assert len(parents) == REQUESTS / 2
        assert set(parents) <= set(spans), "each server's span is its client's child"
        kinds = values("    Kind           : ")
        assert (kinds.count("Client"), kinds.count("Server")) == (REQUESTS / 2, REQUESTS / 2)
        assert values("    Status code    : ").count("Error") == REQUESTS / 10
        assert set(values("Trace ID: ")) == set(values("    Trace ID       : ")), "each record is tied to a trace"
        assert sorted(values("Span ID: ")) == sorted(spans), "and to its span"
