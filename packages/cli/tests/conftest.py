"""A control plane's API for the tests: a real HTTP server on a real unix socket, with answers that tests may change.
And a kubectl that answers as it was told, and writes down how it was called.
"""

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result
from tulle_cli.main import root


def stat_row(kind, name, *, namespace="demo", meshed="1/1", requests=3000, **changes):
    busy = requests > 0
    row = {
        "namespace": namespace, "kind": kind, "name": name, "meshed": meshed, "pods": 1, "meshed_pods": 1,
        "requests": requests, "rps": requests / 30, "success": 0.998 if busy else None,
        "latency_p50": 0.0012 if busy else None, "latency_p95": 0.004 if busy else None,
        "latency_p99": 0.3401 if busy else None, "tcp_open": 4, "tcp_sent_bps": 0.0, "tcp_received_bps": 0.0,
    }
    return {**row, **changes}


def backend_row(backend, *, service="app-b", namespace="demo", requests=3000, failures=0, **changes):
    row = stat_row("", "", requests=requests)
    figures = {name: row[name] for name in ("requests", "rps", "success", "latency_p50", "latency_p95", "latency_p99")}
    return {"namespace": namespace, "service": service, "backend": backend, "failures": failures, **figures, **changes}


def proxy(pod="app-a-1", *, namespace="demo", state="SYNCED", error="", **changes):
    made = {
        "namespace": namespace, "pod": pod, "workload": "deployment/app-a", "service_account": "app-a",
        "version": "0.1.0", "instance": "i", "host": "node-1", "addresses": ["10.244.0.5"],
        "connected_since": "2026-11-20T10:00:00Z", "state": state, "error": error,
        "resident_bytes": 29360128, "open_descriptors": 41, "tasks": 12,
        "destinations": [
            {"destination": "10.96.0.7:80", "service": "app-b.demo.svc.cluster.local:80", "known": True,
             "state": state, "version": "5b0f", "acked_version": "5b0f" if state == "SYNCED" else "11aa",
             "changed": "2026-11-20T10:00:01Z", "error": error},
            {"destination": "192.0.2.1:80", "service": "", "known": False, "state": "SYNCED", "version": "77",
             "acked_version": "77", "changed": "2026-11-20T10:00:01Z", "error": ""},
            {"destination": "inbound", "service": "", "known": True, "state": "SYNCED", "version": "99",
             "acked_version": "99", "changed": "2026-11-20T10:00:01Z", "error": ""},
        ],
    }
    return {**made, **changes}


def service_ref(port=80):
    return {"name": "app-b", "namespace": "demo", "port": port, "authority": f"app-b.demo.svc.cluster.local:{port}"}


def plain_config(address="10.96.0.7:80", port=80):
    """A Service that no route names, as discovery.proto's JSON has it."""
    return {"address": address, "known": True, "service": service_ref(port), "protocol": "PROTOCOL_DETECT",
            "backends": [{"name": f"demo/app-b:{port}", "service": service_ref(port), "resolved": True}]}


def shop_config():
    """One with everything: matches, filters, weights, policies, a backend that does not exist."""
    timeout = {"type": "timeout", "source": "MeshPolicy demo/slow", "config": '{"request":"5s"}'}
    headers = {"type": "headers", "source": "HTTPRoute demo/shop", "config": '{"set":{"x":"1"}}'}
    endpoints = [{"address": f"10.244.0.{n}", "port": 8080, "pod": f"app-b-{n}"} for n in (7, 8, 9)]
    return {
        **plain_config(), "balancer": "least-request", "policies": [timeout],
        "backends": [
            {"name": "demo/app-b:80", "resolved": True, "endpoints": endpoints},
            {"name": "demo/app-b2:80", "resolved": True, "endpoints": endpoints[:1]},
            {"name": "demo/x:80"},
        ],
        "routes": [
            {"name": "demo/shop/beta", "backends": [{"backend": "demo/app-b2:80", "weight": 1}],
             "filters": [{"policy": headers}], "policies": [{**timeout, "source": "MeshPolicy demo/quick"}]},
            {"name": "demo/shop/1", "backends": [
                {"backend": "demo/app-b:80", "weight": 90}, {"backend": "demo/app-b2:80", "weight": 8},
                {"backend": "demo/x:80", "weight": 2}]},
            {"name": "demo/shop/2", "filters": [{"redirect": {"scheme": "https", "status": 301}}]},
        ],
        "matches": [
            {"path": {"type": "MATCH_TYPE_PREFIX", "value": "/cart"},
             "headers": [{"name": "x-user", "type": "MATCH_TYPE_EXACT", "value": "7"}]},
            {"route": 2, "path": {"type": "MATCH_TYPE_EXACT", "value": "/old"}, "method": "GET"},
            {"route": 1, "source": {"labels": {"team": "beta"}, "namespaces": ["a", "b"]}},
        ],
    }


@pytest.fixture
def plain():
    return plain_config


@pytest.fixture
def shop():
    return shop_config


def with_config(item):
    configs = {
        "10.96.0.7:80": {
            "address": "10.96.0.7:80", "known": True, "protocol": "PROTOCOL_DETECT", "balancer": "round-robin",
            "routes": [{"name": "demo/canary/0", "backends": [
                {"backend": "demo/app-b:80", "weight": 90}, {"backend": "demo/app-b2:80", "weight": 10}]}],
            "backends": [
                {"name": "demo/app-b:80", "resolved": True, "endpoints": [
                    {"address": "10.244.0.7", "port": 8080, "pod": "app-b-1"},
                    {"address": "fd00:10:244::7", "port": 8080, "pod": "app-b-2"}]},
                {"name": "demo/app-b2:80", "resolved": True, "endpoints": []},
            ],
        },
        "inbound": {"ports": [{"port": 8080, "service": {"authority": "app-a.demo.svc.cluster.local:80"},
                               "protocol": "PROTOCOL_HTTP1"}]},
    }
    return {**item, "destinations": [{**d, "config": configs.get(d["destination"], {})} for d in item["destinations"]]}


def good_answers():
    proxies = [proxy("app-a-1"), proxy("app-b-1")]
    answers = {
        "/live": {"status": "ok"},
        "/ready": {"status": "ready"},
        "/api/v1/version": {"version": "0.1.0", "cluster_domain": "cluster.local", "catalog": "manifests"},
        "/api/v1/stat": {"window": 30.0, "rows": [
            stat_row("deployment", "app-a", requests=0, meshed="0/1"),
            stat_row("deployment", "app-b", meshed="3/3", pods=3),
            stat_row("service", "app-b", meshed="3/3"),
            stat_row("deployment", "web", namespace="other", success=1.0),
        ]},
        "/api/v1/backends": {"window": 30.0, "rows": [
            backend_row("demo/app-b2:80", requests=150, failures=3, success=0.98),
            backend_row("demo/app-b:80", requests=2850, success=1.0),
        ]},
        "/api/v1/edges": {"window": 30.0, "rows": [
            {"src": "deployment/app-a", "src_namespace": "demo", "dst": "deployment/app-b", "dst_namespace": "demo",
             "service": "app-b", "secured": False, "requests": 300, "rps": 10.0, "success": 0.999999,
             "latency_p50": 0.00085, "latency_p95": 0.01, "latency_p99": 2.5, "tcp_open": 0},
            {"src": "10.244.0.1", "src_namespace": "", "dst": "deployment/app-a", "dst_namespace": "demo",
             "service": "app-a", "secured": True, "requests": 0, "rps": 0.0, "success": None,
             "latency_p50": None, "latency_p95": None, "latency_p99": None, "tcp_open": 0},
        ]},
        "/api/v1/proxies": {"counts": {"SYNCED": 2, "STALE": 0, "REJECTED": 0}, "proxies": proxies},
        "/api/v1/catalog": {"synced": True, "source": "manifests", "counts": {"Service": 2, "Pod": 5},
                            "objects": {"Service": [{"namespace": "demo", "name": "app-b", "conditions": []}]},
                            "rejected": []},
    }
    answers["/api/v1/routes"] = {
        "tables": [
            {"service": "app-b", "namespace": "demo", "port": 80, "client": "demo", "destination": "10.96.0.7:80",
             "config": shop_config()},
            {"service": "app-b", "namespace": "demo", "port": 81, "client": "demo", "destination": "10.96.0.7:81",
             "config": plain_config("10.96.0.7:81", 81)},
        ],
        "routes": [{"kind": "HTTPRoute", "namespace": "demo", "name": "shop", "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""},
            {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no Service x"}]}],
    }
    for item in proxies:
        answers[f"/api/v1/proxies/{item['namespace']}/{item['pod']}"] = with_config(item)
    return answers


class Api:
    """`answers`: path -> JSON, or (status, JSON). `asked`: (path, query) of each request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers = good_answers()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.given: list[object] = []  # bodies of POSTs
        self.on_request: Callable[[], None] = lambda: None

    @property
    def target(self) -> str:
        return f"unix:{self.path}"

    def answer(self, url: str) -> tuple[int, object]:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append((parts.path, query))
        self.on_request()
        found = self.answers.get(parts.path, (404, {"error": f"no such thing: {parts.path}"}))
        status, body = found if isinstance(found, tuple) else (200, found)
        if status == 200 and "rows" in body:  # as the control plane: the parameters choose rows
            for name in ("namespace", "kind"):
                if name in query:
                    keys = ("namespace", "src_namespace", "dst_namespace") if name == "namespace" else (name,)
                    rows = [row for row in body["rows"] if query[name] in [row.get(key) for key in keys]]
                    body = {**body, "rows": rows}
        if parts.path == "/api/v1/routes" and status == 200:
            found = [one for one in body["tables"] if query.get("port") in (None, str(one["port"]))]
            if query["service"] != "app-b" or query["namespace"] != "demo" or not found:
                return 404, {"error": "no Service with a cluster IP is known"}
            body = {**body, "tables": found}
        if parts.path == "/api/v1/proxies" and status == 200 and "namespace" in query:
            kept = [item for item in body["proxies"] if item["namespace"] == query["namespace"]]
            body = {**body, "proxies": kept}
        return status, body


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    state = Api(tmp_path / "control-plane.sock")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.given.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.do_GET()

        def do_GET(self) -> None:
            status, body = state.answer(self.path)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    class Server(ThreadingMixIn, UnixStreamServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A command that did not wait for its answer: its traceback would stand in another command's output."""

    with Server(str(state.path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def tulle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run `tulle ARGS`, with no lab and no settings of the person who runs the tests."""
    for name in ("TULLE_API", "TULLE_NAMESPACE", "NO_COLOR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TULLE_LAB_STATE", str(tmp_path / "no-lab"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run(*args: str, stdin: str | bytes | None = None, charset: str = "utf-8", color: bool = False) -> Result:
        return CliRunner(charset=charset).invoke(root, args, input=stdin, color=color, prog_name="tulle")

    return run


GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with a file in golden/; `TULLE_UPDATE_GOLDEN=1 pytest` writes it anew."""
    import os

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("TULLE_UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs; TULLE_UPDATE_GOLDEN=1 writes what there is now"

    return compare


KUBECTL = """#!{python}
import json, os, sys
from pathlib import Path
folder = Path(os.environ["KUBECTL_FOLDER"])
given = sys.stdin.read() if "-" in sys.argv else ""
number = len(list(folder.glob("call-*")))
(folder / f"call-{{number:02}}").write_text(json.dumps([sys.argv[1:], given]))
answers = json.loads((folder / "answers").read_text())
for words, status, output in answers:
    if words in " ".join(sys.argv[1:]):
        (sys.stdout if status == 0 else sys.stderr).write(output)
        sys.exit(status)
"""


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """A kubectl on PATH that writes down how it was called. `answers`: [[words of the call, status, output], ...]."""
    folder = tmp_path / "kubectl"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECTL_FOLDER", str(folder))

    class Recorded:
        def answer(self, *answers):
            (folder / "answers").write_text(json.dumps(answers))

        @property
        def calls(self):
            return [json.loads(path.read_text()) for path in sorted(folder.glob("call-*"))]

    recorded = Recorded()
    recorded.answer()
    return recorded


def _stores():
    # not by sys.path: another package's tests may have a module of this name
    name = "tulle_cli_tests_stores"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("stores.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(params=["lab", "cluster"])
def store(request):
    """Where the canary's objects are: in both kinds of place, the same must hold. Starts empty."""
    return _stores().STORES[request.param]()


@pytest.fixture
def cluster():
    """An API server as kubectl tells of it."""
    return _stores().Cluster()


@pytest.fixture
def memory():
    """What the lab holds."""
    return _stores().Memory()
