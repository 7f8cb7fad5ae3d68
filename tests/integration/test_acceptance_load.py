"""The load scripts of `make acceptance` count what they should: a figure of 0 failed is worth what its counter is.

Each script runs as it does in the lab, as a process, against servers on loopback that do wrong on purpose.
"""

import json
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

LOAD = Path(__file__).parents[1] / "acceptance" / "load"
REQUESTS = 60
GOOD = json.dumps({"app": "app-b", "version": "v1", "pod": "app-b-1"}).encode()


def run(script, *words):
    """Run a script with its input at its end: it stops as soon as it may. Returns what it printed."""
    done = subprocess.run(
        [sys.executable, str(LOAD / f"{script}.py"), *map(str, words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
    )
    return json.loads(done.stdout)


@contextmanager
def serving(handler):
    """A server on loopback; its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def http(plan):
    """A handler of HTTP/1.1 connections. `plan`: number of the request, over all connections -> what to do wrong."""
    numbers, lock = iter(range(1, 100_000)), threading.Lock()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while head := self.rfile.readline():
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                assert head.startswith(b"GET /")
                with lock:
                    fault = plan.get(next(numbers), "")
                if fault == "reset":
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                status = "503 Service Unavailable" if fault == "503" else "200 OK"
                length = len(GOOD) + (10 if fault == "cut" else 0)
                close = "Connection: close\r\n" if fault == "last" else ""
                self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{close}\r\n".encode() + GOOD)
                if fault in ("cut", "last"):
                    return

    return Handler


FAULTS = {5: "503", 11: "reset", 17: "cut", 23: "last"}


def test_steady_counts_each_failure_once_and_tries_nothing_again():
    with serving(http(FAULTS)) as port:
        report = run("steady", f"http://127.0.0.1:{port}/", "--at-least", REQUESTS, "--rate", 5000)
    assert report["failed"] == 3
    assert sum(report["failures"].values()) == 3
    assert "status 503 (from the app)" in report["failures"]
    assert "IncompleteRead" in report["failures"]
    assert report["requests"] >= REQUESTS
    assert report["complete"]
    assert report["served"] == {"v1 app-b-1": report["requests"] - 3}
    assert report["connections"] > 4  # each failure but the 503, and the server's close, cost one


def test_steady_says_when_it_could_not_make_its_requests():
    with serving(http({})) as port:
        report = run("steady", f"http://127.0.0.1:{port}/", "--at-least", 1000, "--rate", 50, "--most-seconds", 0.2)
    assert not report["complete"]
    assert report["failed"] == 0


def test_steady_counts_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    report = run("steady", f"http://127.0.0.1:{port}/", "--at-least", 20, "--rate", 1000)
    assert report["failed"] == report["requests"] >= 20
    assert set(report["failures"]) == {"ConnectionRefusedError"}


def test_the_session_counts_each_failure_and_its_connections():
    with serving(http(FAULTS)) as port:
        report = run("session", f"http://127.0.0.1:{port}/", "--requests", REQUESTS)
    assert report["failed"] == 3
    assert report["served"] == {"app-b-1": REQUESTS - 3}
    assert report["connections"] == 4


def test_the_session_keeps_one_connection():
    with serving(http({})) as port:
        report = run("session", f"http://127.0.0.1:{port}/", "--requests", REQUESTS)
    assert (report["failed"], report["connections"], report["complete"]) == (0, 1, True)


def test_curl_counts_failures_and_shows_what_it_hides_as_connections():
    """A reset before any answer, on a kept connection, makes curl open another one and ask again: no failure, then."""
    with serving(http(FAULTS)) as port:
        report = run("curls", f"http://127.0.0.1:{port}/", "--requests", REQUESTS)
    assert {"status 503, curl's exit 0", "status 200, curl's exit 18"} <= set(report["failures"])
    assert report["connections"] == 4
    with serving(http({})) as port:
        report = run("curls", f"http://127.0.0.1:{port}/", "--requests", REQUESTS)
    assert (report["failed"], report["connections"], report["complete"]) == (0, 1, True)
    assert report["served"] == {"app-b-1": REQUESTS}


def relay(port, change):
    """A handler that relays to `port`. `change` is given the direction and each piece; None ends both directions."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", port)) as onward:
                back = threading.Thread(target=self.pump, args=("down", onward, self.request))
                back.start()
                self.pump("up", self.request, onward)
                back.join()

        def pump(self, direction, source, sink):
            try:
                while (piece := change(direction, source.recv(65536))) is not None:
                    if not piece:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(piece)
                for each in (source, sink):
                    each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other direction ended it

    return Handler


@contextmanager
def bulk_server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(LOAD / "bulk.py"), "serve", str(port)])
    try:
        while True:  # until it listens; pytest's own limit ends a wait for ever
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None
        yield port
    finally:
        server.kill()
        server.wait()


def flipped(direction):
    def change(way, piece):
        return piece[:-1] + bytes([piece[-1] ^ 1]) if way == direction and len(piece) > 100 else piece

    return change


@pytest.mark.parametrize(
    ("change", "up", "down"),
    [
        (lambda way, piece: piece, True, True),
        (flipped("up"), False, True),
        (flipped("down"), True, False),
        (lambda way, piece: piece or None, False, False),  # the client's end of file closes everything
    ],
    ids=["faultless", "a bit flipped on the way up", "on the way down", "no half-close"],
)
def test_bulk_sees_what_was_changed_or_closed(change, up, down):
    with bulk_server() as port, serving(relay(port, change)) as through:
        report = run("bulk", "127.0.0.1", through, "--bytes", 1 << 20, "--stall", 0)
    assert (report["up_equal"], report["down_equal"]) == (up, down)


def test_every_figure_has_its_row_in_the_docs():
    """An unknown name makes `make acceptance` list what there is."""
    root = LOAD.parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance"], cwd=root, env={"ONLY": "?"}, capture_output=True, text=True,
        check=False,
    )
    assert done.returncode == 2
    names = [line.split()[0] for line in done.stderr.splitlines()[1:]]
    assert len(names) > 20
    text = (root / "docs" / "acceptance.md").read_text()
    assert [name for name in names if f"`{name}`" not in text] == []
