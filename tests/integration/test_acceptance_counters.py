"""The load scripts of `make acceptance` that look closely see what they should, of servers that do wrong on purpose.

Continues test_acceptance_load.py, for the figures of one proxy. Scripts that ask a proxy how it is are given an answer.
"""

import asyncio
import importlib.util
import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import serve

ACCEPTANCE = Path(__file__).parents[1] / "acceptance"
LOAD = ACCEPTANCE / "load"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch):
    """load("many"): that script as a module, as its neighbours see each other in a pod."""
    monkeypatch.syspath_prepend(str(LOAD))
    monkeypatch.syspath_prepend(str(ROOT))

    def module(name):
        specification = importlib.util.spec_from_file_location(name, LOAD / f"{name}.py")
        made = importlib.util.module_from_spec(specification)
        monkeypatch.setitem(sys.modules, name, made)
        specification.loader.exec_module(made)
        return made

    for name in ("own_proxy", "answers"):
        module(name)
    return module


def run(script, *words):
    done = subprocess.run(
        [sys.executable, str(LOAD / f"{script}.py"), *map(str, words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
    )
    return json.loads(done.stdout)


@contextmanager
def listening(handle):
    """A server on loopback with a thread a connection; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


# --- many.py ---------------------------------------------------------------------------------------------------------


def many(load, requests, spoil=None, timeout=15.0):
    """What many.py counts of answers.py, whose Connection `spoil` has changed."""
    module, answers, own_proxy = load("many"), sys.modules["answers"], sys.modules["own_proxy"]
    own_proxy.look = lambda: {"resident_bytes": 1.0}
    module.TIMEOUT = timeout
    samples = []

    async def main():
        class Spoilt(answers.Connection):
            numbers = iter(range(1, 1 << 30))

            def answer(self, method, target, body):
                if spoil is None or not spoil(self, next(self.numbers)):
                    super().answer(method, target, body)

        server = await asyncio.get_running_loop().create_server(Spoilt, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            return await module.run(address, requests, 4, 30, samples)

    return asyncio.run(main()), samples


def test_many_finds_nothing_wrong_with_what_is_right(load):
    counted, samples = many(load, 2500)
    assert (counted.made, counted.given_up, dict(counted.failures)) == (2500, 2, {})
    assert len(samples) >= 1


def test_many_counts_each_wrong_answer_once(load):
    def spoil(connection, number):
        if number == 10:
            connection.transport.write(b"HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n")
        elif number == 30:
            connection.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"S" * 100)
        elif number == 60:
            connection.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"s" * 40)
            connection.transport.close()
        elif number == 90:
            connection.reset()
        return number in (10, 30, 60, 90)

    counted, _ = many(load, 400, spoil)
    assert counted.made == 400
    assert sum(counted.failures.values()) == 4, counted.failures
    assert counted.failures["status 503"] == 1


def test_many_does_not_wait_for_ever(load):
    counted, _ = many(load, 100, lambda connection, number: number > 50, timeout=0.2)
    assert sum(counted.failures.values()) >= 1
    assert counted.made < 100


def test_the_slope_of_memory(load):
    from tests.acceptance.figures.many_requests import slope

    flat = [[n * 1000, 30e6] for n in range(100)]
    assert slope(flat) == 0
    assert slope([[made, size + made * 1.024] for made, size in flat]) == pytest.approx(1.0)
    assert slope([[made, 30e6 + min(made, 50_000) * 100] for made, _ in flat]) == pytest.approx(0, abs=0.5), "warm-up"
    assert not slope(flat[:12]) < 50, "too few samples are no proof"


# --- slow_heads.py ----------------------------------------------------------------------------------------------------


def test_slow_heads_says_how_each_ended(load):
    crowd_of = load("slow_heads").Crowd
    numbers = iter(range(1000))

    def end(sock):
        sock.recv(1000)
        number = next(numbers)
        if number % 3 == 0:
            sock.sendall(b"HTTP/1.1 408 slow\r\nconnection: close\r\n\r\n")
        if number % 3 == 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    with listening(end) as port:
        crowd = crowd_of(("127.0.0.1", port), 30)
        for _ in range(1000):
            if crowd.begun == 30 and not crowd.open:
                break
            crowd.turn()
    assert dict(crowd.ends) == {"408": 10, "ConnectionResetError": 10, "closed without an answer": 10}
    assert len(crowd.seconds) == 30


# --- cut_short.py, slow_reader.py, websocket.py -----------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_cut_short_sees_a_mesh_that_hides_a_break(load, monkeypatch):
    """It says "whole" where only half came: as a proxy would that frames anew what it has got."""
    module = load("cut_short")

    def lie(sock):
        with sock:
            target = sock.recv(65536).split(b" ")[1]
            size = 100_000 if b"how=whole" in target else 50_000
            sock.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size + b"h" * size)

    with listening(lie) as port:
        monkeypatch.setattr(sys, "argv", ["cut_short", f"127.0.0.1:{port}", "--rounds", "1"])
        said = []
        monkeypatch.setattr("builtins.print", said.append)
        module.main()
    rows = json.loads(said[0])
    assert len(rows) == 16
    assert all(row["right"] == row["whole"] for row in rows), rows


def test_slow_reader_sees_what_is_missing_or_changed(load):
    def answer(body):
        def handle(sock):
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + body)

        return handle

    found = []
    for body in (b"b" * 200_000, b"b" * 100_000, b"b" * 199_999 + b"c"):
        with listening(answer(body)) as port:
            found.append(run_on(port, "slow_reader", "--size", 200_000, "--stall", 0))
    assert [(each["bytes"], each["equal"]) for each in found] == [(200_000, True), (100_000, True), (200_000, False)]


def run_on(port, script, *words):
    """A script whose HTTPConnection to port 80 goes to `port`."""
    program = (
        "import http.client, runpy, sys\n"
        "made = http.client.HTTPConnection.__init__\n"
        f"http.client.HTTPConnection.__init__ = lambda self, host, _, **more: made(self, host, {port}, **more)\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(LOAD / f"{script}.py"), "127.0.0.1", *map(str, words)],
        capture_output=True, text=True, timeout=60, check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("spoilt", [0, 1])
def test_websocket_counts_what_came_back_the_same(spoilt):
    def echo(connection):
        for number, message in enumerate(connection):
            connection.send(message + message[:1] if spoilt and number == 20 else message)

    with serve(echo, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        report = run("websocket", f"ws://127.0.0.1:{port}/", "--messages", 100)
        server.shutdown()
    assert report["same"] == 100 - spoilt
    assert (report["status"], report["close_code"], report["pongs"]) == (101, 1000, report["pings"])


def test_what_is_changed_of_a_lone_proxy(load):
    from tests.acceptance.lone import changed

    injected = {"spec": {"template": {
        "metadata": {"annotations": {"tulle.dev/injected": "x"}},
        "spec": {"initContainers": [
            {"name": "tulle-init", "env": []},
            {"name": "tulle-proxy", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        ]},
    }}}
    template = changed(injected, {"B": "3", "C": "4"}, 256)["spec"]["template"]
    proxy = template["spec"]["initContainers"][1]
    assert {each["name"]: each["value"] for each in proxy["env"]} == {"A": "1", "B": "3", "C": "4"}
    assert proxy["command"][-1] == "ulimit -n 256 && exec tulle-proxy > /dev/null"
    assert template["metadata"]["annotations"]["tulle.dev/inject"] == "disabled"
