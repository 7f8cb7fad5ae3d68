"""An echo server in a pod: answers as JSON with what it received and who it is (as the Gateway API's own does).

Owns two ports. On ECHO_PORT every request is answered, as told. On CONTROL_PORT, which no proxy captures, the test asks
what came and says what to be:

    GET /ready                GET /seen             the requests since the last /be, with the second at which each came
    POST /be {"statuses": [503, 200], "delay": 0.0, "hang": false}      each status in turn, the last one for ever

A status of 0 is a connection that is reset in an answer's stead. `hang`: a request is taken and nothing is said, until
the next /be. A request to upgrade is agreed to, and what then comes is sent back. Standard library only.
"""

import http.server
import json
import os
import socket
import struct
import threading
import time

ECHO_PORT, CONTROL_PORT = 8080, 8081
LONGEST = 60.0
"""Seconds for which a request that is not answered is kept."""
WHO = {name.lower(): os.environ.get(name, "") for name in ("SERVICE", "VERSION", "NAMESPACE", "POD")}


class Told:
    """What to be, and what came."""

    def __init__(self):
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.be({})

    def be(self, told):
        """From now on. What hangs is let go."""
        self.released.set()
        with self.lock:
            self.released = threading.Event()
            self.statuses = list(told.get("statuses") or [200])
            self.delay, self.hang = float(told.get("delay", 0)), bool(told.get("hang", False))
            self.seen = []

    def take(self, request):
        """Note a request; what to do with it."""
        with self.lock:
            self.seen.append(request)
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return status, self.delay, self.hang, self.released


TOLD = Told()


class Server(http.server.ThreadingHTTPServer):
    """Takes bursts of connections."""

    request_queue_size = 256
    daemon_threads = True


class Handler(http.server.BaseHTTPRequestHandler):
    """One write an answer, connections are kept."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Say nothing."""

    def body(self):
        """What came after the head: of a length, or in chunks."""
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return whole

    def say(self, status, told, **fields):
        """Answer with JSON."""
        data = json.dumps(told).encode()
        self.send_response_only(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **fields}.items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n" + data)
        self.flush_headers()


class Echo(Handler):
    """The port that is tested."""

    def answer(self):
        """As told."""
        body = self.body()
        request = {
            "method": self.command, "path": self.path, "proto": self.request_version,
            "host": self.headers.get("host", ""), "body": body.decode("latin-1"), "at": time.monotonic(),
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
        }  # fmt: skip
        status, delay, hang, released = TOLD.take(request)
        if hang:
            released.wait(LONGEST)
            self.close_connection = True
            return
        if delay:
            released.wait(delay)
        if not status:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.wfile.close()
            self.connection.close()  # nobody holds it any more: a reset leaves at once
            self.close_connection = True
            return
        if self.headers.get("upgrade"):
            self.converse()
            return
        self.say(status, {**WHO, **request}, **{"x-echo": "1"})

    def converse(self):
        """101 (RFC 9110 section 7.8), and then an echo of bytes."""
        self.send_response_only(101)
        self.send_header("connection", "upgrade")
        self.send_header("upgrade", self.headers["upgrade"])
        self.send_header("x-service", WHO["service"])
        self.end_headers()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815


class Control(Handler):
    """The port that is not."""

    def do_GET(self):
        """/ready, /seen."""
        self.say(200, TOLD.seen if self.path == "/seen" else {})

    def do_POST(self):
        """/be."""
        TOLD.be(json.loads(self.body() or b"{}"))
        self.say(200, {})


def main():
    """Until killed."""
    control = Server(("", CONTROL_PORT), Control)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    Server(("", ECHO_PORT), Echo).serve_forever()


if __name__ == "__main__":
    main()
