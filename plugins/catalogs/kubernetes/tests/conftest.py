"""An API server for tests: real HTTP on loopback, Kubernetes' list and watch, and faults that are asked for."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

GUARD = 30.0  # seconds after which a test that waits for news is taken to hang


class ApiServer:
    """Objects by path ("/api/v1/services"), and what happens to them. Everything under one lock."""

    def __init__(self):
        self.lock = threading.Condition()
        self.version = 100
        self.oldest = 0  # watches from before get 410
        self.objects = {}
        self.history = []  # (version, path, type, object)
        self.refused = {}  # path -> list of (status, headers) for its next requests; a status for ever where no list
        self.cut = 0  # grows to end all watches
        self.halves = 0  # so many watch events are cut in the middle, and their stream with them
        self.seen = queue.SimpleQueue()  # (path, query) of each request
        self.closing = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        with self.lock:
            self.closing = True
            self.cut += 1
            self.lock.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def serve(self, *paths):
        with self.lock:
            for path in paths:
                self.objects.setdefault(path, {})

    def put(self, path, obj):
        with self.lock:
            self.version += 1
            metadata = obj.setdefault("metadata", {})
            key = (metadata.get("namespace", ""), metadata["name"])
            before = self.objects[path].get(key)
            metadata.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{self.version}")
            metadata["resourceVersion"] = str(self.version)
            self.objects[path][key] = obj
            self.history.append((self.version, path, "MODIFIED" if before else "ADDED", json.loads(json.dumps(obj))))
            self.lock.notify_all()

    def delete(self, path, namespace, name, *, quietly=False):
        """`quietly`: nobody who watches is told, as when history was compacted before they came back."""
        with self.lock:
            self.version += 1
            obj = self.objects[path].pop((namespace, name))
            obj["metadata"]["resourceVersion"] = str(self.version)
            if not quietly:
                self.history.append((self.version, path, "DELETED", obj))
            self.lock.notify_all()

    def say(self, path, kind, obj):
        """A raw watch event."""
        with self.lock:
            self.version += 1
            self.history.append((self.version, path, kind, obj))
            self.lock.notify_all()

    def end_watches(self, *, compact=False):
        with self.lock:
            self.cut += 1
            if compact:
                self.oldest = self.version = self.version + 1
                self.history.clear()
            self.lock.notify_all()

    # --- answers ---------------------------------------------------------------------------------------

    def answer(self, handler):
        split = urlsplit(handler.path)
        path, query = split.path, {name: values[0] for name, values in parse_qs(split.query).items()}
        self.seen.put((path, query))
        with self.lock:
            refusals = self.refused.get(path)
            refusal = (refusals.pop(0) if refusals else None) if isinstance(refusals, list) else refusals
            known = path in self.objects
        if refusal is not None:
            self.status(handler, refusal, "refused by the test", {"Retry-After": "0"})
        elif not known:
            self.status(handler, 404, "the server could not find the requested resource", {})
        elif query.get("watch") == "true":
            self.watch(handler, path, int(query["resourceVersion"]))
        else:
            self.list(handler, path, query)

    def status(self, handler, code, message, headers):
        body = json.dumps({"kind": "Status", "code": code, "message": message}).encode()
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def list(self, handler, path, query):
        with self.lock:
            items = [self.objects[path][key] for key in sorted(self.objects[path])]
            start = int(query.get("continue", 0))
            page = items[start : start + 2]  # small pages, so that there are several
            metadata = {"resourceVersion": str(self.version)}
            if start + 2 < len(items):
                metadata["continue"] = str(start + 2)
            body = json.dumps({"kind": "List", "metadata": metadata, "items": page}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def watch(self, handler, path, version):
        with self.lock:
            cut = self.cut
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            if version < self.oldest:
                gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
                self.send(handler, {"type": "ERROR", "object": gone})
                handler.wfile.write(b"0\r\n\r\n")
                return
            while True:
                for number, where, kind, obj in self.history:
                    if number > version and where == path:
                        version = number
                        if self.halves:
                            self.halves -= 1
                            self.chunk(handler, json.dumps({"type": kind, "object": obj}).encode()[:20])
                            handler.close_connection = True
                            handler.connection.close()
                            return
                        self.send(handler, {"type": kind, "object": obj})
                if self.cut != cut:
                    handler.wfile.write(b"0\r\n\r\n")
                    return
                self.lock.wait(GUARD)

    def send(self, handler, event):
        self.chunk(handler, json.dumps(event).encode() + b"\n")

    def chunk(self, handler, data):
        try:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()
        except OSError:
            pass  # the client went away

    # --- for tests -------------------------------------------------------------------------------------

    def kubeconfig(self, folder):
        address = f"http://127.0.0.1:{self.server.server_port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)


@pytest.fixture
def server():
    made = ApiServer()
    yield made
    made.stop()
