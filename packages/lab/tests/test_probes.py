"""Probes: thresholds, how often is asked before and after the first success, and what counts as well."""

import errno
import http.server
import itertools
import os
import socket
import subprocess
import sys
import threading

import pytest
import trio
import trio.testing
from tulle_lab.kubelet import listening, probes
from tulle_lab.kubelet.probes import Result, Tally


def run(probe, answers, seconds, worth=lambda: True):
    """Asked at, and decided at, on trio's virtual clock; `answers(now)` gives the result."""
    asked, decided = [], []

    async def main():
        began = trio.current_time()

        async def ask():
            now = round(trio.current_time() - began, 3)
            asked.append(now)
            result = answers(now)
            if result is None:
                await trio.sleep_forever()
            return Result(result)

        async def decide(well, why):
            decided.append((round(trio.current_time() - began, 3), well))

        defaults = {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
        with trio.move_on_after(seconds):
            await probes.watch({**defaults, **probe}, ask, decide, worth)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return asked, decided


def test_after_the_first_success_once_a_period():
    asked, decided = run({}, lambda now: True, 35)
    assert asked == [0, 10, 20, 30]
    assert decided == [(0, True), (10, True), (20, True), (30, True)]


def test_before_the_first_success_often():
    asked, decided = run({}, lambda now: now > 3, 9)
    assert len([when for when in asked if when <= 3]) > 6
    assert decided[0][0] <= 3.6
    assert max(later - earlier for earlier, later in itertools.pairwise(asked)) < 0.501


def test_failures_count_once_a_period_only():
    _, decided = run({"periodSeconds": 1}, lambda now: False, 3.4)
    assert decided == [(3.0, False)]


def test_a_program_that_does_not_listen_is_not_asked_and_fails_all_the_same():
    asked, decided = run({"periodSeconds": 1}, lambda now: True, 3.6, worth=lambda: False)
    assert asked == []
    assert [well for _, well in decided] == [False]


def test_a_failure_after_success_counts_each_time():
    asked, decided = run({"periodSeconds": 1}, lambda now: now < 1, 5.5)
    assert decided == [(0, True), (3, False), (4, False), (5, False)]
    assert asked == [0, 1, 2, 3, 4, 5]


def test_no_answer_in_time_is_a_failure():
    _, decided = run({"periodSeconds": 2, "failureThreshold": 1}, lambda now: True if now < 1 else None, 3.5)
    assert decided == [(0, True), (3, False)]


def test_the_initial_delay_is_kept():
    assert run({"initialDelaySeconds": 7}, lambda now: True, 10)[0] == [7]


def test_tally():
    tally = Tally(2, 3)
    assert [tally.add(ok) for ok in (True, True, False, False, True, False, False, False)] == [
        None,
        True,
        None,
        None,
        None,
        None,
        None,
        False,
    ]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers["X-Test"], self.headers["Host"]))
        self.send_response(int(self.path.strip("/").split("?")[0] or 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "well"), [(200, True), (204, True), (399, True), (400, False), (503, False)])
def test_http_statuses(server, status, well):
    result = trio.run(probes.http_get, "127.0.0.1", server.server_port, {"path": f"/{status}?a"})
    assert result.ok is well
    assert f"HTTP status {status}" in result.why


def test_http_headers_and_paths(server):
    get = {"path": "200", "httpHeaders": [{"name": "X-Test", "value": "1"}, {"name": "Host", "value": "app.test"}]}
    assert trio.run(probes.http_get, "127.0.0.1", server.server_port, get).ok
    assert server.seen == [("/200", "1", "app.test")]


def test_refused_and_not_http():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            connection, _ = listener.accept()
            connection.sendall(b"220 smtp ready\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        result = trio.run(probes.http_get, "127.0.0.1", port, {})
        thread.join()
        assert "not HTTP" in result.why or "reset" in result.why
        assert trio.run(probes.tcp_socket, "127.0.0.1", port).ok
    for probe in (lambda: probes.http_get("127.0.0.1", port, {}), lambda: probes.tcp_socket("127.0.0.1", port)):
        result = trio.run(probe)
        assert not result.ok
        assert "refused" in result.why


@pytest.mark.parametrize("look", [listening.listens, listening.in_table])
def test_who_listens_is_seen_without_asking(look):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        port = listener.getsockname()[1]
        assert look(os.getpid(), port)
        assert not look(os.getpid(), client.getsockname()[1]), "a connection listens nowhere"
    if socket.has_dualstack_ipv6():
        with socket.create_server(("::", 0), family=socket.AF_INET6) as listener:
            assert look(os.getpid(), listener.getsockname()[1])
    assert not look(os.getpid(), port)
    assert not look(2**22 + 5, port), "a process that is gone listens nowhere"


def test_where_the_kernel_does_not_tell_its_table_is_read(monkeypatch):
    def refuse(asked, family):
        raise FileNotFoundError(errno.ENOENT, "sock_diag")

    monkeypatch.setattr(listening, "_listening", refuse)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listening.listens(os.getpid(), listener.getsockname()[1])


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root enters another network namespace without a lab")
def test_who_listens_in_another_network_namespace():
    """A process in a namespace of its own: its port is seen, ours is not, and we are where we were."""
    here = os.stat("/proc/thread-self/ns/net").st_ino
    program = "import socket; s = socket.create_server(('127.0.0.1', 4321)); print(flush=True); input()"
    command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$0" -c "$1"', sys.executable, program]
    with socket.create_server(("127.0.0.1", 0)) as ours, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as theirs:  # fmt: skip
        assert theirs.stdout.readline() == b"\n"
        for look in (listening.listens, listening.in_table):
            assert look(theirs.pid, 4321)
            assert not look(theirs.pid, ours.getsockname()[1])
        theirs.communicate(b"\n")
    assert os.stat("/proc/thread-self/ns/net").st_ino == here


def test_ports_by_name():
    container = {"ports": [{"containerPort": 1}, {"name": "http", "containerPort": 80}]}
    assert probes.port_number("http", container) == 80
    assert probes.port_number(81, container) == 81
