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
        self.lock = threading.Condition(threading.RLock())
        self.version = 100
        self.oldest = 0  # watches from before get 410
        self.objects = {}
        self.leases = {}  # by path
        self.history = []  # (version, path, type, object)
        self.refused = {}  # path -> list of (status, headers) for its next requests; a status for ever where no list
        self.cut = 0  # grows to end all watches
        self.halves = 0  # so many watch events are cut in the middle, and their stream with them
        self.seen = queue.SimpleQueue()  # (path, query) of each GET
        self.written = queue.SimpleQueue()  # (method, path, query, body, status) of each write
        self.before_write = lambda: None  # runs before a write is looked at: somebody else is quicker
        self.closing = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

            def do_POST(self):
                outer.write(self)

            def do_PUT(self):
                outer.write(self)

            def do_PATCH(self):
                outer.write(self)

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
        lease = self.lease(path)
        if refusal is not None:
            self.status(handler, refusal, "refused by the test", {"Retry-After": "0"})
        elif lease is not None:
            self.body(handler, 200, lease)
        elif not known:
            self.status(handler, 404, "the server could not find the requested resource", {})
        elif query.get("watch") == "true":
            self.watch(handler, path, int(query["resourceVersion"]))
        else:
            self.list(handler, path, query)

    def status(self, handler, code, message, headers):
        self.body(handler, code, {"kind": "Status", "code": code, "message": message}, headers)

    def body(self, handler, code, document, headers=None):
        body = json.dumps(document).encode()
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    # --- writes: a status by server-side apply, a Lease by POST and PUT ----------------------------------

    def lease(self, path):
        with self.lock:
            return json.loads(json.dumps(self.leases.get(path)))

    def write(self, handler):
        split = urlsplit(handler.path)
        path, query = split.path, {name: values[0] for name, values in parse_qs(split.query).items()}
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.before_write()
        with self.lock:
            refusals = self.refused.get(path)
            code = refusals.pop(0) if refusals else 0
            if not code and handler.command == "PATCH":
                assert handler.headers["Content-Type"] == "application/apply-patch+yaml"
                code, document = self.apply(path, body)
            elif not code:
                assert handler.headers["Content-Type"] == "application/json"
                code, document = self.keep(path, body)
        self.written.put((handler.command, path, query, body, code))
        if code >= 400:
            self.status(handler, code, "refused", {"Retry-After": "0"})
        else:
            self.body(handler, code, document)

    def apply(self, path, body):
        before, _, rest = path.partition("/namespaces/")
        namespace, plural, name, subresource = rest.split("/")
        assert subresource == "status"
        found = self.objects.get(f"{before}/{plural}", {}).get((namespace, name))
        if found is None:
            return 404, None
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return 409, None
        self.put(f"{before}/{plural}", found | {"status": body["status"]})
        return 200, self.objects[f"{before}/{plural}"][namespace, name]

    def keep(self, path, body):
        key = path if path.endswith(f"/{body['metadata']['name']}") else f"{path}/{body['metadata']['name']}"
        there = self.leases.get(key)
        if (there is None) != (key != path):  # POST of what is there, PUT of what is not
            return 409 if there else 404, None
        if there and body["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
            return 409, None
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.leases[key] = body
        return (200 if there else 201), body

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
