"""A program for pods in tests: HTTP on both families, says who and where it is, and does as it is told.

GET /            {"host", "client", "uid", "gid", "groups"}
GET /env         the environment           GET /file?PATH   a file's text
GET /connect?HOST:PORT                     what a connection there says: "ok", or the error
GET /exit?CODE   end with CODE             POST /status?N   from now on answer /health with N
On SIGTERM it writes "terminating" and ends, after the seconds in LINGER.
"""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

health = [int(os.environ.get("HEALTH", "200"))]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, rest = self.path.partition("?")
        getattr(self, "get" + path.replace("/", "_"), self.get_)(rest)

    def do_POST(self):
        health[0] = int(self.path.partition("?")[2])
        self.answer({})

    def get_(self, _):
        self.answer(
            {
                "host": socket.gethostname(),
                "client": self.client_address[0].removeprefix("::ffff:"),
                "uid": os.getuid(),
                "gid": os.getgid(),
                "groups": os.getgroups(),
            }
        )

    def get_health(self, _):
        self.answer({}, health[0])

    def get_env(self, _):
        self.answer(dict(os.environ))

    def get_file(self, path):
        self.answer(Path(path).read_text())

    def get_connect(self, where):
        host, _, port = where.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), 5):
                self.answer("ok")
        except OSError as error:
            self.answer(f"{type(error).__name__} {error.errno}")

    def get_exit(self, code):
        self.answer({})
        os._exit(int(code))

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128


def terminate(*_):
    print("terminating", flush=True)
    time.sleep(float(os.environ.get("LINGER", "0")))
    os._exit(0)


signal.signal(signal.SIGTERM, terminate)
print("hello on stdout", flush=True)
print("hello on stderr", file=sys.stderr, flush=True)
server = Server(("::", int(os.environ.get("PORT", "8080"))), Handler)
threading.Thread(target=server.serve_forever).start()
