"""What the program asks of an API server: real HTTP on loopback, conflicts and failures included. Waits for events."""

import asyncio
import base64
import json
import queue
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tulle_admission_controller.certificates import make_authority
from tulle_admission_controller.config import load
from tulle_admission_controller.kubernetes_api import ApiError, ApiServer
from tulle_admission_controller.namespaces import WatchedNamespaces
from tulle_admission_controller.server import ServeError, serve
from tulle_admission_controller.sinks import KubernetesSink

GUARD = 30.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = "/apis/admissionregistration.k8s.io/v1"


class Server:
    """`answers` is a function of (method, path, body) to (status, JSON), or to an iterator of watch events."""

    def __init__(self, folder):
        self.asked = queue.SimpleQueue()
        self.answers = lambda method, path, body: (404, {"message": "nothing here"})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                outer.asked.put((self.command, self.path, self.headers))
                status, answer = outer.answers(self.command, self.path, body)
                self.send_response(status)
                self.end_headers()
                if isinstance(answer, dict):
                    self.wfile.write(json.dumps(answer).encode())
                    return
                for event in answer:
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                    self.wfile.flush()

            do_PATCH = do_GET  # noqa: N815

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        (folder / "token").write_text("secret\n")
        self.api = ApiServer("127.0.0.1", self.http.server_port, folder / "token", None)


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.http.shutdown()
    made.http.server_close()


class Configurations:
    """The two objects, with the API server's optimistic locking; `rivals` others write first."""

    def __init__(self, rivals=0):
        self.bundles = dict.fromkeys(("mutating", "validating"), "")
        self.version, self.rivals, self.refuse = 1, rivals, 0

    def __call__(self, method, path, body):
        kind = path.removeprefix(f"{GROUP}/").partition("webhook")[0]
        assert path == f"{GROUP}/{kind}webhookconfigurations/tulle"
        if method == "GET":
            webhooks = [{"name": "a", "clientConfig": {"caBundle": self.bundles[kind]}}]
            return 200, {"metadata": {"resourceVersion": str(self.version)}, "webhooks": webhooks}
        if self.refuse:
            return self.refuse, {"message": "no"}
        if self.rivals:
            self.rivals -= 1
            self.version += 1
            self.bundles[kind] = base64.b64encode(make_authority(NOW, timedelta(days=7)).pem).decode()
        test, add = body
        if test["value"] != str(self.version):
            return 422, {"message": "the server rejected our request due to an error in our request"}
        self.bundles[kind], self.version = add["value"], self.version + 1
        return 200, {}


def publish(server, bundle):
    asyncio.run(KubernetesSink(server.api, "tulle", lambda: NOW).publish(bundle))


def test_the_bundle_is_put_into_both_with_the_token_and_only_once(server):
    server.answers = configurations = Configurations()
    own = make_authority(NOW, timedelta(days=7)).pem
    publish(server, own)
    assert {base64.b64decode(each) for each in configurations.bundles.values()} == {own}
    publish(server, own)
    methods = []
    while not server.asked.empty():
        method, _, headers = server.asked.get()
        assert headers["Authorization"] == "Bearer secret"
        methods.append(method)
        if method == "PATCH":
            assert headers["Content-Type"] == "application/json-patch+json"
    assert methods == ["GET", "PATCH", "GET", "PATCH", "GET", "GET"]


def test_replicas_that_write_at_once_lose_nothing(server):
    server.answers = configurations = Configurations(rivals=3)
    own = make_authority(NOW, timedelta(days=7)).pem
    publish(server, own)
    for each in configurations.bundles.values():
        assert own in base64.b64decode(each)
    assert base64.b64decode(configurations.bundles["mutating"]).count(b"BEGIN") == 2  # the last rival's too


@pytest.mark.parametrize(("status", "asked"), [(403, 2), (409, 10)])
def test_a_refusal_is_told_and_a_conflict_is_not_tried_for_ever(server, status, asked):
    server.answers = configurations = Configurations()
    configurations.refuse = status
    with pytest.raises(ApiError, match=f"PATCH .*mutatingwebhookconfigurations/tulle: {status}: no"):
        publish(server, make_authority(NOW, timedelta(days=7)).pem)
    assert server.asked.qsize() == asked


def namespace(name, **annotations):
    ours = {f"tulle.dev/{key}": value for key, value in annotations.items()}
    return {"metadata": {"name": name, "annotations": ours}}


def test_namespaces_are_listed_then_watched_then_listed_again(server):
    lists = [[namespace("a", inject="disabled"), namespace("plain")], [namespace("c", inject="disabled")]]
    gone = {"type": "ERROR", "object": {"code": 410}}
    events = [
        {"type": "ADDED", "object": namespace("b", inject="disabled")},
        {"type": "MODIFIED", "object": namespace("a")},
        {"type": "DELETED", "object": namespace("b", inject="disabled")},
        gone,
    ]
    told, last = [], threading.Event()

    def answers(method, path, body):
        if "watch=true" in path:
            assert "resourceVersion=5" in path
            return 200, watch()
        return 200, {"metadata": {"resourceVersion": "5"}, "items": lists.pop(0)}

    def watch():
        if not lists:
            last.set()
            return
        yield from events

    server.answers = answers
    namespaces = WatchedNamespaces(server.api)
    namespaces.PAUSES = (0.001,)
    assert namespaces.not_ready()
    take = namespaces.take
    namespaces.take = lambda event: (take(event), told.append(sorted(namespaces.known)))
    namespaces.start()
    assert last.wait(GUARD)
    namespaces.stopping.set()
    assert told == [["a", "b"], ["b"], []]
    assert namespaces("c") == {"tulle.dev/inject": "disabled"}
    assert namespaces("a") == {}
    assert namespaces.not_ready() == ""


def test_an_api_server_that_fails_leaves_what_was_known(server, caplog):
    namespaces = WatchedNamespaces(server.api)
    namespaces.known = {"a": {"tulle.dev/inject": "disabled"}}
    namespaces.PAUSES = (0.001,)
    thread = threading.Thread(target=namespaces.run)
    thread.start()
    for _ in range(3):
        server.asked.get(timeout=GUARD)
    namespaces.stopping.set()
    thread.join(GUARD)
    assert namespaces("a") == {"tulle.dev/inject": "disabled"}
    assert namespaces.not_ready()
    assert "annotations are as they were" in caplog.text


def test_nobody_there(server):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(ApiError) as caught:
        server.api.request("GET", "/x")
    assert caught.value.status == 0


def test_outside_of_a_cluster_it_says_so(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    config = load(["--webhook-configuration", "tulle"], {})
    with pytest.raises(ServeError, match="TULLE_WEBHOOK_CONFIGURATION is set, but this is no pod"):
        asyncio.run(serve(config, None))
    command = (sys.executable, "-m", "tulle_admission_controller.main", "--watch-namespaces", "true")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "TULLE_WATCH_NAMESPACES is true, but this is no pod" in ended.stderr
